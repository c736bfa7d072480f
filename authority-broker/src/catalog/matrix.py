"""Makes TUF repositories with python-tuf, the reference implementation, right and wrong ones.

Prints one JSON object: for each case its pinned root, and steps of the files that the gateway
gives out then and what a client must make of them: all ids, or a reason. A refused step also says
what may still be started of what was taken before.
"""

import datetime
import json

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp,
)

FUTURE = datetime.datetime(2199, 1, 1, tzinfo=datetime.timezone.utc)
PAST = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
ROLES = ["root", "targets", "snapshot", "timestamp"]
UNTRUSTED = "manifest_untrusted"
UNREACHABLE = "catalog_unreachable"
STRANGER = CryptoSigner.generate_ed25519()


def model(ident="m", **changes):
    custom = {"kind": "model", "id": ident, "urls": ["https://models.localhost:1/m.gguf"],
              "license": "MIT", "context_length": 1, "architecture": "a", "quantization": "q"}
    custom.update(changes)
    return {key: value for key, value in custom.items() if value is not None}


class Repo:
    """Keys of each role, and the newest files."""

    def __init__(self, thresholds=None):
        self.thresholds = {role: 1 for role in ROLES} | (thresholds or {})
        self.keys = {role: [CryptoSigner.generate_ed25519() for _ in range(self.thresholds[role])]
                     for role in ROLES}
        self.root_version, self.files, self.delegated = 0, {}, {}
        self.next_root([])
        self.pinned = self.files["1.root.json"]

    def next_root(self, old_signers, own=True, version=None, expires=FUTURE):
        """Publishes the next root, signed by its own keys and by those of the one before."""
        self.root_version += 1
        root = Root(version=version or self.root_version, expires=expires,
                    consistent_snapshot=True)
        for role in ROLES:
            for signer in self.keys[role]:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = self.thresholds[role]
        signers = (self.keys["root"] if own else []) + old_signers
        self.files[f"{self.root_version}.root.json"] = self.signed(root, signers)

    def rotate(self, **options):
        """New keys for every role."""
        old = self.keys["root"]
        self.keys = {role: [CryptoSigner.generate_ed25519() for _ in self.keys[role]]
                     for role in ROLES}
        self.next_root(options.pop("old_signers", old), **options)

    @staticmethod
    def signed(role, signers):
        metadata = Metadata(role)
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def publish(self, version=1, customs=None, snapshot=None, targets=None, timestamp=None,
                expires=None, signers=None, delegations=None, listed=None,
                listed_snapshot=None):
        """Publishes the three roles; each part may be given another version, expiry or signer."""
        expires, signers = expires or {}, signers or {}
        numbers = {"timestamp": timestamp or version, "snapshot": snapshot or version,
                   "targets": targets or version}
        by = lambda role: signers.get(role, self.keys[role])
        until = lambda role: expires.get(role, FUTURE)
        files = {}
        role = Targets(numbers["targets"], expires=until("targets"), delegations=delegations)
        for at, custom in enumerate([model()] if customs is None else customs):
            name = f"target-{at}"
            role.targets[name] = TargetFile(at + 1, {"sha256": "ab" * 32}, name,
                                            {"custom": custom})
        files["targets"] = self.signed(role, by("targets"))
        truly = lambda number, data: MetaFile.from_data(number, data, ["sha256"])
        role = Snapshot(numbers["snapshot"], expires=until("snapshot"))
        role.meta["targets.json"] = (listed or truly)(numbers["targets"], files["targets"])
        role.meta |= self.delegated
        files["snapshot"] = self.signed(role, by("snapshot"))
        role = Timestamp(numbers["timestamp"], expires=until("timestamp"))
        described = listed_snapshot or truly
        role.snapshot_meta = described(numbers["snapshot"], files["snapshot"])
        self.files["timestamp.json"] = self.signed(role, by("timestamp"))
        self.files[f"{numbers['snapshot']}.snapshot.json"] = files["snapshot"]
        self.files[f"{numbers['targets']}.targets.json"] = files["targets"]
        return self

    def delegate(self, signers, version=1):
        """Publishes a catalog whose role "extra" signs one more model."""
        extra = CryptoSigner.generate_ed25519()
        role = Targets(version)
        role.expires = FUTURE
        role.targets["extra-0"] = TargetFile(9, {"sha256": "cd" * 32}, "extra-0",
                                             {"custom": model("extra")})
        data = self.signed(role, [extra] if signers is None else signers)
        delegations = Delegations({}, {"extra": DelegatedRole("extra", [], 1, False, ["extra-*"])})
        self.delegated = {"extra.json": MetaFile.from_data(version, data, ["sha256"])}
        top = Targets(1, delegations=delegations)
        top.add_key(extra.public_key, "extra")
        self.publish(version, delegations=top.delegations)
        self.files[f"{version}.extra.json"] = data

    def fork(self):
        """The same keys and files, to go another way from here."""
        other = object.__new__(Repo)
        other.__dict__ = {name: dict(value) if isinstance(value, dict) else value
                          for name, value in self.__dict__.items()}
        return other

    def step(self, expected, still=None):
        files = {name: data.decode() for name, data in self.files.items()}
        return {"files": files, "expected": expected, "still": still or expected}

    def mended(self):
        """What its owner publishes afterwards, which must be taken."""
        self.delegated = {}
        return self.publish(9, customs=[model("again")]).step(["again"])


CASES = {}


def case(name, repo, *steps):
    CASES[name] = {"pinned": repo.pinned.decode(), "steps": list(steps)}


def one(name, expected=UNTRUSTED, repo=None, **options):
    repo = repo or Repo()
    only(name, repo.publish(**options), expected)


def only(name, repo, expected=UNTRUSTED, **step):
    """What a client sees first; if that is refused, then what is right."""
    steps = [repo.step(expected) | step]
    if isinstance(expected, str):
        repo.files = {"1.root.json": repo.pinned}
        steps.append(repo.mended())
    case(name, repo, *steps)


def after_an_honest_one(name, change, expected=UNTRUSTED, repo=None, still=None):
    """First an honest catalog of version 3; then the change. If that is refused, the first one
    still serves, and what the owner publishes next is taken: from what was before the change, or
    from what the change returns where a new root had to be believed."""
    repo = repo or Repo()
    honest = repo.publish(3).step(["m"])
    before = repo.fork()
    owner = change(repo)
    if owner is None or owner is repo:
        owner = before
    refused = isinstance(expected, str)
    steps = [honest, repo.step(expected, (still or ["m"]) if refused else None)]
    if refused:
        steps.append(owner.mended())
    case(name, repo, *steps)


one("honest", ["m"])
for role in ["timestamp", "snapshot", "targets"]:
    one(f"expired {role}", expires={role: PAST})
    after_an_honest_one(f"expired {role} later",
                        lambda it, role=role: it.publish(4, expires={role: PAST}))
    one(f"{role} signed by another key", signers={role: [STRANGER]})
    one(f"{role} signed by nobody", signers={role: []})

after_an_honest_one("rollback of the timestamp", lambda it: it.publish(4, timestamp=2))
after_an_honest_one("rollback of the snapshot", lambda it: it.publish(4, snapshot=2))
after_an_honest_one("rollback of the targets", lambda it: it.publish(4, targets=2))
after_an_honest_one("rollback of all", lambda it: it.publish(2))
after_an_honest_one("going on", lambda it: it.publish(4, customs=[model("n")]), ["n"])
after_an_honest_one("the same again", lambda it: None, ["m"])


def mixed(it):
    """Targets of the same number, rightly signed, that this snapshot does not name."""
    names = dict(it.files)
    it.publish(3, customs=[model("evil")])
    it.files = names | {"3.targets.json": it.files["3.targets.json"]}


after_an_honest_one("mix and match of targets", mixed)


def mixed_snapshot(it):
    names = dict(it.files)
    it.publish(3, customs=[model("evil")])
    it.files["timestamp.json"] = names["timestamp.json"]


after_an_honest_one("mix and match of snapshots", mixed_snapshot)

def renumbered(it):
    it.publish(4, listed=lambda number, data: MetaFile(5))
    it.files["5.targets.json"] = it.files["4.targets.json"]


after_an_honest_one("targets under another number", renumbered)

two = {"root": 2, "targets": 2, "snapshot": 2, "timestamp": 2}
one("thresholds of two met", ["m"], repo=Repo(two))
for role in ["timestamp", "snapshot", "targets"]:
    repo = Repo(two)
    one(f"threshold of {role} not met", repo=repo, signers={role: repo.keys[role][:1]})


def doubled(data):
    document = json.loads(data)
    document["signatures"] = document["signatures"] * 2
    return json.dumps(document).encode()


repo = Repo(two)
repo.publish(signers={"timestamp": repo.keys["timestamp"][:1]})
repo.files["timestamp.json"] = doubled(repo.files["timestamp.json"])
only("one signature given twice", repo)


def rotated(times, **options):
    def change(it):
        for _ in range(times):
            it.rotate(**options)
        it.publish(4, customs=[model("n")])
    return change


after_an_honest_one("root rotation in one step", rotated(1), ["n"])
after_an_honest_one("root rotation in several steps", rotated(5), ["n"])
after_an_honest_one("root not signed by the one before", rotated(1, old_signers=[]))
after_an_honest_one("root signed by a stranger", rotated(1, old_signers=[STRANGER]))
after_an_honest_one("root not signed by its own keys", rotated(1, own=False))
after_an_honest_one("root of another number inside", rotated(1, version=7))
after_an_honest_one("rollback of the root", rotated(1, version=1))


def replayed(it):
    it.rotate()
    it.publish(4)
    it.files["2.root.json"] = it.pinned


after_an_honest_one("the first root again in place of the next", replayed)


def honest_rotation(name, spoil, **options):
    """A next root, rightly signed, that is not what its owner put there; then what is."""
    repo = Repo()
    repo.publish(3)
    honest = repo.step(["m"])
    repo.rotate()
    repo.publish(4, customs=[model("n")])
    owner = repo.fork()
    repo.files["2.root.json"] = spoil(repo.files["2.root.json"])
    case(name, repo, honest, repo.step(UNTRUSTED, ["m"]) | options, owner.step(["n"]))


honest_rotation("an endless root", lambda data: data, endless="2.root.json")
honest_rotation("half of a root", lambda data: data[:-30])


def expired_root(it):
    rotated(1, expires=PAST)(it)
    owner = it.fork()
    owner.rotate()
    return owner


# A new root is believed, and none of its keys signed the list of before.
after_an_honest_one("root that has expired", expired_root, still=UNTRUSTED)


# A rotated root is believed from then on, even where the catalog beside it says something wrong:
# whoever hides the rotation again is not believed with the revoked keys.
repo = Repo()
honest, thief = repo.publish(3).step(["m"]), repo.fork()
repo.rotate()
wrong = repo.publish(4, customs=[model("")]).step(UNTRUSTED)
hidden = thief.publish(5, customs=[model("evil")]).step(UNTRUSTED)
case("a rotation beside a wrong custom, hidden later", repo, honest, wrong, hidden, repo.mended())


def broken_chain(it):
    it.rotate()
    owner = it.fork()
    it.rotate(old_signers=[STRANGER])
    it.rotate()
    it.publish(4)
    return owner


after_an_honest_one("a chain of roots broken in the middle", broken_chain, still=UNTRUSTED)


def gap(it):
    it.rotate()
    it.rotate()
    del it.files["2.root.json"]
    it.publish(4)


after_an_honest_one("a chain of roots with a gap", gap)
repo = Repo(two)
after_an_honest_one("threshold of the root before not met",
                    lambda it: it.rotate(old_signers=it.keys["root"][:1])
                    or it.publish(4), repo=repo)

for name, signers, expected in [
    ("delegated targets", None, ["m"]),
    ("delegated targets signed by another key", [STRANGER], UNTRUSTED),
]:
    repo = Repo()
    repo.delegate(signers)
    only(name, repo, expected)

for name in ["timestamp.json", "3.snapshot.json", "3.targets.json"]:
    repo = Repo().publish(3)
    only(f"endless {name}", repo, endless=name)
    repo = Repo().publish(3)
    repo.files[name] = repo.files[name][:-30]
    only(f"half of {name}", repo)

# Rightly signed; only what is said of their length or digest is wrong.
for role in ["listed", "listed_snapshot"]:
    which = "snapshot" if role == "listed_snapshot" else "targets"
    digest = lambda data: MetaFile.from_data(1, data, ["sha256"]).hashes
    for what, listed in {
        "longer than listed": lambda n, data: MetaFile(n, len(data) - 1, digest(data)),
        "longer than listed, without a digest": lambda n, data: MetaFile(n, len(data) - 1),
        "of another digest": lambda n, data: MetaFile(n, len(data), {"sha256": "00" * 32}),
        "of another digest, without a length": lambda n, data: MetaFile(n, None,
                                                                        {"sha256": "00" * 32}),
    }.items():
        after_an_honest_one(f"{which} {what}",
                            lambda it, role=role, listed=listed: it.publish(4, **{role: listed}))

repo = Repo().publish()
repo.files["timestamp.json"] = repo.files["1.snapshot.json"]
only("a snapshot in place of the timestamp", repo)

for name in ["timestamp.json", "1.snapshot.json", "1.targets.json"]:
    repo = Repo().publish()
    del repo.files[name]
    only(f"missing {name}", repo, UNREACHABLE)

one("an unknown kind beside", ["m"], customs=[model(), model("x", kind="later")])
for what, custom in {
    "no id": model(id=None), "an empty id": model(""), "a path as id": model("../m"),
    "no urls": model(urls=None), "empty urls": model(urls=[]), "a number as url": model(urls=[7]),
    "no license": model(license=None), "no context_length": model(context_length=None),
    "a negative context_length": model(context_length=-1),
    "text as context_length": model(context_length="1"),
    "no architecture": model(architecture=None), "no quantization": model(quantization=None),
    "the catalog's own host": model(urls=["https://gateway.localhost:9/m.gguf"]),
}.items():
    one(f"custom with {what}", customs=[custom])
one("one id twice", customs=[model(), model()])
one("two ids", ["m", "n"], customs=[model(), model("n")])

print(json.dumps(CASES))
