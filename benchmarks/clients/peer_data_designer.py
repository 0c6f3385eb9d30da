"""NVIDIA NeMo Data Designer: one column written by a model beside a seed dataset, created into its artifacts folder."""

import time

import task


def main() -> None:
    given = task.given()
    import data_designer.config as dd
    from data_designer.interface import DataDesigner

    provider = dd.ModelProvider(name="bench", endpoint=given.url, provider_type="openai", api_key="bench")
    sampling = dd.ChatCompletionInferenceParams(max_parallel_requests=given.concurrent, max_tokens=1024)
    model = dd.ModelConfig(alias="writer", model=task.MODEL, provider="bench", inference_parameters=sampling)
    recipe = dd.DataDesignerConfigBuilder(model_configs=[model])
    recipe.with_seed_dataset(dd.LocalFileSeedSource(path=str(given.corpus)))
    recipe.add_column(
        dd.LLMTextColumnConfig(name="query", model_alias="writer", system_prompt=task.SYSTEM, prompt=task.USER)
    )
    designer = DataDesigner(artifact_path=given.folder / "artifacts", model_providers=[provider])
    designer.set_run_config(dd.RunConfig(otel_metrics_port=None))
    count = sum(1 for _ in given.texts())
    begun = time.perf_counter()
    made = designer.create(recipe, num_records=count, dataset_name="bench")
    seconds = time.perf_counter() - begun
    task.tell(sum(bool(query) for query in made.load_dataset()["query"]), seconds)


main()
