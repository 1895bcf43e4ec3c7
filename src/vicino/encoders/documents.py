"""Document vectors: a document is learnt as words are, by what it predicts."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.corpus import Corpus, Rules, open_corpus, read_corpus
from vicino.data.files import MAX_CHARACTERS, opened, text_stream
from vicino.data.formats import kind_of
from vicino.data.text import TokenIds, Vocabulary, encode_corpus
from vicino.encoders.base import Role
from vicino.encoders.named import saved_array
from vicino.encoders.words import WordEncoder
from vicino.errors import InputError, UnreadableSource
from vicino.learning.documents import Chances, Embedding, Recipe, infer, new_embedding, train
from vicino.learning.epochs import Training

__all__ = ["Doc2Vec"]

_MUCH = 40_000_000  # words to read before the vectors have found their places: a smaller corpus is read so often
_EPOCHS = 10, 1000  # at least and at most
_ENOUGH = 100  # epochs for a new document of PV-DBOW: more were no better, where training had more; of PV-DM they were

Float32 = NDArray[np.float32]


class Doc2Vec(WordEncoder):
    """Paragraph vectors (Le and Mikolov 2014): PV-DBOW (`dm=0`), where a document predicts its words, or PV-DM (`dm=1`).

    In PV-DM the document and `window` words on each side are averaged, summed with `dm_mean=0`, or joined with `dm_concat=1`.
    `dbow_words=1` learns words by skip-gram beside PV-DBOW; without it a word's vector is what documents are multiplied with to
    predict it, so that words of the same documents are near. A text that is encoded is learnt as a new document, with all else
    frozen (see `infer_vector`): equal text gives the equal vector, whatever stands beside it, and a text without a known word
    zeros. The vectors that the documents of the corpus had in training are `document_vectors_`, in their order, and zeros for
    those without a word. Of a plain text file, each line is a document (one of more than 20 million characters is several); of a
    folder, each file, and each row of .jsonl and the like.

    The names are gensim's, and so are the defaults, but: PV-DBOW, which on 20 Newsgroups is far better and four times faster;
    `threads` 1, with which equal text gives equal vectors to the bit; `min_count` as for `Word2Vec`; and `epochs` None, as many
    as read 40 million words, from 10 to 1000. Documents come in another order in each epoch, and begin with vectors of length
    one. See `vicino.learning.documents.Recipe` for what the parameters mean.

    >>> documents = Doc2Vec(vector_size=8).fit(["red wine and white wine", "red tea and white tea"])
    >>> documents.encode(["white tea"]).shape, documents.document_vectors_.shape, len(documents.most_similar("wine", topn=2))
    ((1, 8), (2, 8), 2)
    """

    family: ClassVar[str] = "doc2vec"

    def __init__(  # noqa: PLR0913 - one by one, as scikit-learn's tools and the command line want them
        self,
        *,
        vector_size: int = 100,
        window: int = 5,
        min_count: int | None = None,
        max_vocab: int | None = None,
        dm: int = 0,
        dm_mean: int = 1,
        dm_concat: int = 0,
        dbow_words: int = 0,
        negative: int = 5,
        hs: int = 0,
        sample: float = 1e-3,
        ns_exponent: float = 0.75,
        alpha: float = 0.025,
        min_alpha: float = 1e-4,
        epochs: int | None = None,
        analyzer: Literal["words", "code"] = "words",
        lowercase: bool = True,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.vector_size = vector_size
        self.window = window
        self.min_count = min_count
        self.max_vocab = max_vocab
        self.dm = dm
        self.dm_mean = dm_mean
        self.dm_concat = dm_concat
        self.dbow_words = dbow_words
        self.negative = negative
        self.hs = hs
        self.sample = sample
        self.ns_exponent = ns_exponent
        self.alpha = alpha
        self.min_alpha = min_alpha
        self.epochs = epochs
        self.analyzer = analyzer
        self.lowercase = lowercase
        self.seed = seed
        self.threads = threads

    contexts_: Float32 | None = None
    document_vectors_: Float32 | None = None
    recipe_: Recipe | None = None
    training_: Training | None = None
    frozen_: tuple[Chances, Embedding] | None = None

    # Learning ---------------------------------------------------------------------------------------------------------

    def _corpus(self, data: Any, vocabulary: Vocabulary | None = None) -> Corpus:
        """A document is an item, or what `read_documents` makes of a path; of a plain text file, a line, empty ones too.

        The sentences of a `Corpus` are taken as documents.
        """
        if isinstance(data, str | os.PathLike):
            data = Path(data)
            if (data / artifacts.MANIFEST).is_file():
                data = open_corpus(data)
            elif data.is_file() and kind_of(data.name) in ("text", None):
                data = _lines(data)
        if isinstance(data, Corpus):
            return data
        rules = Rules(self._analyzer(), self.min_count, self.max_vocab, lines=False)
        return read_corpus(data if isinstance(data, Path) else self._sentences(data), rules, vocabulary=vocabulary)

    def _recipe(self, words: int) -> Recipe:
        least, most = _EPOCHS
        return Recipe(
            skip_gram=not self.dm,
            words=bool(self.dbow_words) and not self.dm,
            concat=bool(self.dm_concat) and bool(self.dm),
            mean=bool(self.dm_mean),
            window=self.window,
            negative=self.negative,
            ns_exponent=self.ns_exponent,
            hs=bool(self.hs),
            sample=self.sample,
            alpha=self.alpha,
            min_alpha=self.min_alpha,
            epochs=min(max(math.ceil(_MUCH / words), least), most) if self.epochs is None else self.epochs,
            seed=self.seed,
            threads=self.threads,
        )

    def _learn(self, corpus: Corpus) -> None:
        self.recipe_ = self._recipe(len(corpus.ids))
        made = new_embedding(len(corpus.counts), len(corpus), self.vector_size, self.recipe_)
        self.training_ = train(corpus.ids, corpus.offsets, corpus.counts, made, self.recipe_)
        self.document_vectors_ = np.where(corpus.lengths[:, None] > 0, made.document_vectors, 0)
        self.contexts_ = made.contexts
        self.vectors_ = made.vectors if self.recipe_.reads_words else self.contexts_[: len(corpus.counts)]
        self.frozen_ = None

    # Texts ------------------------------------------------------------------------------------------------------------

    def infer_vector(self, document: Any, *, epochs: int | None = None, alpha: float | None = None) -> Float32:
        """The vector (d,) of one new document, a text or a list of words that are then taken as they are.

        `epochs` and `alpha` are those of training where they are None, but in PV-DBOW no more than 100 epochs. Raises InputError
        where they cannot be, and for what is neither text nor a list of str.
        """
        vector: Float32 = self.infer_vectors([document], epochs=epochs, alpha=alpha)[0]
        return vector

    def infer_vectors(self, documents: Iterable[Any], *, epochs: int | None = None, alpha: float | None = None) -> Float32:
        """The vectors (n, d) of new documents, each as `infer_vector` gives it."""
        vocabulary: Vocabulary = self._require("vocabulary_")
        analyzer = self._analyzer()
        terms = [analyzer.terms(item) if isinstance(item, str) else item for item in self._sentences(documents)]
        for term in chain.from_iterable(terms):
            if not isinstance(term, str):
                raise InputError(f"{term!r} is of type {type(term).__name__}, not str", mend="give texts, or lists of str")
        ids = np.array([vocabulary.get(term) for each in terms for term in each], np.int32)
        offsets = np.cumsum([0, *map(len, terms)], dtype=np.int64)
        return self._infer(TokenIds(ids, offsets, vocabulary), epochs, alpha)

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> Float32:  # noqa: ARG002
        return self._infer(encode_corpus(items, self._analyzer(), self._require("vocabulary_"), grow=False))

    def _infer(self, texts: TokenIds, epochs: int | None = None, alpha: float | None = None) -> Float32:
        given: dict[str, Any] = {name: value for name, value in (("epochs", epochs), ("alpha", alpha)) if value is not None}
        recipe = replace(self._reading(), threads=self.threads, **given)
        known = texts.ids >= 0
        offsets = np.concatenate([[0], np.cumsum(known)])[texts.offsets]
        return infer(texts.ids[known], offsets, *self._frozen(), recipe)

    def _reading(self) -> Recipe:
        """How a new document is learnt."""
        recipe: Recipe = self._require("recipe_")
        return replace(recipe, epochs=min(recipe.epochs, _ENOUGH)) if recipe.skip_gram else recipe

    def _frozen(self) -> tuple[Chances, Embedding]:
        """All that is as large as the vocabulary and that new documents are read by; made when it is first asked for."""
        if self.frozen_ is None:
            recipe: Recipe = self._require("recipe_")
            words = self._require("vectors_") if recipe.reads_words else None
            n, dim = self._require("vectors_").shape
            made = new_embedding(n, 0, dim, recipe, vectors=words, contexts=self._require("contexts_"))
            self.frozen_ = Chances.of(self._require("counts_"), recipe), made
        return self.frozen_

    def _unit_vectors(self) -> Float32:
        recipe: Recipe = self._require("recipe_")
        if not (recipe.reads_words or recipe.negative):
            raise InputError("no word has a vector in PV-DBOW with hs alone", mend="fit with dbow_words=1, or with negative=5")
        return super()._unit_vectors()

    # Kept -------------------------------------------------------------------------------------------------------------

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        plain, arrays = super()._identity()
        recipe = asdict(self._reading())
        around = ("window", "shrink_windows", "mean", "concat")
        for name in ("threads", "words", *(around if recipe["skip_gram"] else ())):  # what a new document does not depend on
            del recipe[name]
        return {**plain, "recipe": recipe}, {**arrays, "contexts": self._require("contexts_"), "counts": self._require("counts_")}

    def _arrays(self) -> dict[str, Any]:
        """With the documents' vectors: they cannot be made again without the corpus."""
        arrays = super()._arrays()
        if not self._require("recipe_").reads_words:
            del arrays["vectors"]  # they are among the contexts
        return {
            **arrays,
            "contexts": self.contexts_,
            "documents": self.document_vectors_,
            "epochs": np.array(self._require("recipe_").epochs),
        }

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self.recipe_ = recipe = replace(self._recipe(1), epochs=int(saved_array(folder, arrays, "epochs", np.int64, ())))
        n = len(saved_array(folder, arrays, "counts", np.int64, (None,)))
        contexts = saved_array(folder, arrays, "contexts", np.float32, (2 * n - 1 if recipe.hs else n, None))
        super()._restore(folder, data, arrays if recipe.reads_words else {**arrays, "vectors": contexts[:n]})
        self.contexts_ = saved_array(folder, arrays, "contexts", np.float32, (len(contexts), recipe.slots * self.dim))
        self.document_vectors_ = saved_array(folder, arrays, "documents", np.float32, (None, self.dim))


def _lines(path: Path) -> Iterator[str]:
    try:
        with opened(path) as stream, text_stream(stream, newline="\n", errors="replace") as decoded:
            yield from iter(lambda: decoded.readline(MAX_CHARACTERS), "")
    except UnreadableSource as error:
        raise UnreadableSource(f"{path}: {error.what}", mend=error.mend) from error
