"""What a collection can be made of: `KINDS` says how each kind of item is read, cut, and asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from vicino.data.readers import Reading
from vicino.errors import InputError, UnknownName

__all__ = ["KINDS", "Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """How items of a kind come in. `reader` is `package.module:function`, as `vicino.data.readers.read_documents`.

    `cut` is the only way in which they are cut, None for any; `by_file` says that what is asked is a file too, not words.
    """

    name: str
    reader: str
    cut: str | None = None
    by_file: bool = False

    def read(self, path: Path, text: str | None) -> Reading:
        """The documents of a path; `text` names a column."""
        module, _, name = self.reader.partition(":")
        return cast(Callable[..., Reading], getattr(importlib.import_module(module), name))(path, text=text)

    def require_cut(self, cut: str | None) -> str | None:
        """The way of cutting: the one asked for, or the only one. Raises InputError where these differ."""
        if self.cut is not None and cut not in (None, self.cut):
            raise InputError(f"{self.name} are not cut by {cut!r}", mend="leave out --chunk")
        return self.cut or cut

    def require_question(self, question: str | Path, *, reranked: bool = False) -> str:
        """The question as encoders take it; `reranked` says that a reranker is to read it with the answers.

        Raises InputError for words where a file is wanted, and the other way, and for a reranker of what is no text.
        """
        if reranked and self.by_file:
            raise InputError(f"a reranker reads texts, and this is a collection of {self.name}", mend="leave out --rerank")
        if isinstance(question, Path) != self.by_file:
            asked = "a file: --image FILE" if self.by_file else 'words: vicino search NAME "..."'
            raise InputError(f"this collection of {self.name} is not asked so", mend=f"ask it by {asked}")
        return str(question)


_TEXTS = Kind("texts", "vicino.data.readers:read_documents")

KINDS: Mapping[str, Kind] = {
    "text": _TEXTS,
    "id": _TEXTS,
    "image": Kind("images", "vicino.data.images.documents:image_documents", cut="whole", by_file=True),
}


def kind_of(readers: Iterable[Iterable[str]]) -> Kind:
    """The kind that several readers, each of which accepts some kinds of item, all take; texts where there are none.

    Raises UnknownName where one takes nothing of `KINDS`, InputError where they have none in common.

    >>> kind_of([{"text"}, {"id"}]).name, kind_of([{"image"}]).name
    ('texts', 'images')
    """
    taken = [{each: KINDS[each] for each in KINDS if each in set(accepts)} for accepts in readers]
    if not all(taken):
        raise UnknownName("collections hold no such items", mend=f"choose an encoder of {', '.join(KINDS)}: vicino encoders")
    common = [kind for kind in dict.fromkeys(KINDS.values()) if all(kind in each.values() for each in taken)]
    if not common:
        what = " and ".join(dict.fromkeys(next(iter(each.values())).name for each in taken))
        raise InputError(f"the parts of this recipe read {what}, which is not one thing", mend="choose parts of one kind")
    return common[0]
