"""distilabel: a pipeline of one TextGeneration task over a dataset, saved to disk. It sends a batch, then awaits it."""

import time

import task


def main() -> None:
    given = task.given()
    from datasets import Dataset
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps.tasks import TextGeneration

    with Pipeline(name="bench", cache_dir=given.folder / "distilabel") as pipeline:
        TextGeneration(
            llm=OpenAILLM(
                model=task.MODEL, base_url=given.url, api_key="bench", generation_kwargs={"max_new_tokens": 1024}
            ),
            system_prompt=task.SYSTEM,
            template=task.USER,
            columns=["text"],
            input_batch_size=given.concurrent,
        )
    begun = time.perf_counter()
    made = pipeline.run(dataset=Dataset.from_list([{"text": text} for text in given.texts()]))
    seconds = time.perf_counter() - begun
    made.save_to_disk(str(given.folder / "rows"))
    task.tell(sum(bool(said) for said in made["default"]["train"]["generation"]), seconds)


if __name__ == "__main__":
    main()
