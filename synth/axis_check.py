"""What a machine can see of a text that was asked for in words: how a prompt declares it, beside the words.

    axes:
      form:
        need: {weight: 3, means: "what the person is trying to do, not as a question", check: {question_mark: false}}
        keywords: {weight: 2, means: "three to seven words as typed into a search box", check: {most_words: 7}}

`compliance.py` looks whether the rows became it.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Check(BaseModel):
    """What is to be seen of a row's query or positive. What is not set is not looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: Literal["query", "positive"] = Field(default="query", description="the text that it is seen of")
    least_words: int | None = Field(default=None, ge=0, description="fewest words")
    most_words: int | None = Field(default=None, ge=0, description="most words")
    question_mark: bool | None = Field(default=None, description="whether it ends in a question mark of any script")
    language: str = Field(default="", description="the language it is in, as BCP 47 has it")

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.least_words is not None and self.most_words is not None and self.least_words > self.most_words:
            raise ValueError(f"least_words is {self.least_words} and most_words is {self.most_words}; turn them round")
        if not self.language and self.question_mark is None and self.least_words is None and self.most_words is None:
            raise ValueError("name what is to be seen: least_words, most_words, question_mark or language")
        return self


Checks = Mapping[str, Mapping[str, Mapping[str, Check]]]
"""The checks of the values of the axes of prompts: prompt, axis, value."""
