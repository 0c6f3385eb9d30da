#!/usr/bin/env bash
# The tests against a real vLLM engine, on the CPU, in a venv of their own (2.8 GB): bash tests/engine/run.sh [PYTEST ARGUMENTS]
#
# ENGINE_VENV says where the venv is (.venv-engine unless set), PYTHON which Python makes it. What it holds already is
# not fetched again. Fails where vllm cannot be had, and where a test was skipped or none ran.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
venv="${ENGINE_VENV:-$root/.venv-engine}"
python="$venv/bin/python"
export UV_SYSTEM_CERTS=true  # as pip does: behind a proxy the authorities of the system are the only good ones

fetch() {
  "$venv/bin/uv" pip install --quiet --python "$python" --compile-bytecode --overrides "$here/overrides.txt" "$@" \
    --requirement "$here/requirements.txt" --editable "$root"
}

# torch's builds for CPUs are not on PyPI: they come from where pip is told to look, else from torch's own index.
# Where neither is in reach the CUDA build does: it runs on a CPU as well, and is 3 GB to fetch.
fetch_all() {
  local links
  links="${PIP_FIND_LINKS:-$("$python" -m pip config get global.find-links 2>/dev/null || true)}"
  if [[ -n "$links" ]] && fetch --overrides "$here/overrides-cpu-torch.txt" --find-links "$links"; then return; fi
  if fetch --overrides "$here/overrides-cpu-torch.txt" --torch-backend cpu; then return; fi
  fetch --overrides "$here/overrides-cuda-torch.txt"
}

if [[ ! -x "$venv/bin/uv" ]]; then
  echo "making $venv with a real vLLM engine (500 MB to fetch) …"
  "${PYTHON:-python3}" -m venv --clear "$venv"
  "$python" -m pip install --quiet --disable-pip-version-check uv
fi
fetch_all
cd "$root"
exec "$python" -m pytest tests/engine -m engine -W ignore "$@"
