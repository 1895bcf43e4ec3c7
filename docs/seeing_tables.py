"""The README's tables of images and of recommending, as `tables` has the others."""

from __future__ import annotations

from typing import Any

from tables import TABLES, span, table
from training_tables import mean

_NAMES = {"pixels": "raw pixels", "eigenimages": "eigenimages (PCA)"}


def images(plain: dict[str, Any]) -> str:
    """What each objective is worth on Fashion-MNIST, with labels that lie, and on faces of people never seen."""
    found, parts = plain["results"], []
    if "fashion" in found:
        rows = [
            [_NAMES.get(name, name), mean(one["kNN"]), mean(one["linear"]), str(one["seeds"])]
            for name, one in sorted(found["fashion"]["rows"].items(), key=lambda row: row[1]["kNN"][0])
        ]
        about = f"Fashion-MNIST, {plain['minutes']:g} minutes of steps on one core for each network, "
        about += f"{found['fashion']['test']:,} test images that no default was settled by, told by {found['fashion']['train']:,}"
        parts.append(f"{about}:\n\n{table(['', 'kNN (20)', 'linear probe', 'seeds'], rows)}")
    if "noise" in found:
        shares = list(next(iter(found["noise"].values())))
        rows = [[name, *(mean(one[share]) for share in shares)] for name, one in found["noise"].items()]
        head = ["kNN accuracy", *(f"{float(share):.0%} of labels drawn anew" for share in shares)]
        parts.append(f"The same with labels that lie, in training and among the neighbours:\n\n{table(head, rows)}")
    if "faces" in found:
        faces = found["faces"]
        rows = [[_NAMES.get(name, name), mean(one["recall@1"]), mean(one["TAR"])] for name, one in faces["rows"].items()]
        about = f"ORL faces, {faces['people']['learnt from']} people learnt from and {faces['people']['asked']} others asked, "
        head = ["", "recall@1", "TAR at FAR 1 %"]
        parts.append(f"{about}{faces['divisions']} divisions:\n\n{table(head, rows)}")
    if "speed" in found:
        speed = found["speed"]
        rows = [
            [what, *(f"{value:,}" for value in speed[what]["images_a_second"].values()), span(speed[what]["times_faster"])]
            for what in ("training", "encoding")
        ]
        about = f"Images a second of the small network at 28 x 28, {speed['threads']} thread, {speed['rounds']} rounds in turn"
        parts.append(f"{about}:\n\n{table(['', 'vicino', 'a plain loop of torch', 'times faster'], rows)}")
    return "\n\n".join(parts)


def recommend(plain: dict[str, Any]) -> str:
    """The ladder on Last.fm, and ALS beside implicit's."""
    data, found = plain["data"], plain["ladder"]["mean"]
    rows = [
        [
            name,
            mean(one["Recall@20"]),
            mean(one["nDCG@20"]),
            f"{100 * one['coverage']:.1f} %",
            f"{one['bias']:.1f}",
            f"{one['fit_seconds']:.1f}",
        ]
        for name, one in sorted(found.items(), key=lambda row: row[1]["nDCG@20"][0])
    ]
    head = ["", "Recall@20", "nDCG@20", "of the catalogue shown", "times as popular as what is heard", "seconds to learn"]
    about = f"Last.fm, {data['users']:,} users, {data['items']:,} artists, one of each user's held out, mean "
    about += f"[lowest, highest] of {plain['parameters']['seeds']} seeds"
    als = plain["als"]
    peers = [
        [name, mean(one["Recall@20"]), mean(one["nDCG@20"]), f"{als['seconds'][name]:.2f}"]
        for name, one in als["quality"].items()
    ]
    beside = (
        f"ALS with {als['parameters']['factors']} factors, {als['parameters']['iterations']} turns and the same confidences, in "
    )
    beside += f"turn: vicino is {span(als['times_faster'])} times faster than implicit"
    return f"{about}:\n\n{table(head, rows)}\n\n{beside}:\n\n{table(['', 'Recall@20', 'nDCG@20', 'seconds'], peers)}"


TABLES |= {each.__name__: each for each in (images, recommend)}
