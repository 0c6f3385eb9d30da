#!/usr/bin/env bash
# The tests against a real vLLM engine, on the CPU, in a venv of their own (2.3 GB): bash tests/engine/run.sh [PYTEST ARGUMENTS]
#
# ENGINE_VENV says where the venv is (.venv-engine unless set), PYTHON which Python makes it. It is made anew when what
# it holds has changed, and used again otherwise. Fails where vllm cannot be imported and where no test ran.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
venv="${ENGINE_VENV:-$root/.venv-engine}"
python="$venv/bin/python"

# torch's builds for CPUs are not on PyPI: they come from where pip is told to look, else from torch's own index.
# Where neither is in reach the CUDA build does: it runs on a CPU as well, and is 3 GB to download.
install() {
  local links
  links="${PIP_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || true)}"
  local uv=("$venv/bin/uv" pip install --quiet --python "$python" --compile-bytecode --overrides "$here/overrides.txt")
  local what=(--requirement "$here/requirements.txt" --editable "$root")
  local cpu=(--overrides "$here/overrides-cpu-torch.txt")
  { [[ -n "$links" ]] && "${uv[@]}" "${cpu[@]}" --find-links "$links" "${what[@]}"; } ||
    "${uv[@]}" "${cpu[@]}" --torch-backend cpu "${what[@]}" ||
    "${uv[@]}" --overrides "$here/overrides-cuda-torch.txt" "${what[@]}"
}

if [[ "$(cat "$venv/.made-from" 2>/dev/null)" != "$recipe" ]]; then
  echo "making $venv with a real vLLM engine (500 MB to download) …"
  "${PYTHON:-python3}" -m venv --clear "$venv"
  "$python" -m pip install --quiet --disable-pip-version-check uv
  install
  echo "$recipe" > "$venv/.made-from"
fi
cd "$root"
exec "$python" -m pytest tests/engine -m engine "$@"
