"""Makes TUF repositories with python-tuf, the reference implementation, right and wrong ones.

Prints one JSON object: for each case its pinned root, and steps of the files that the gateway
gives out then and what a client must make of them (the id of the one model, or a reason).
"""

import copy
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
                expires=None, signers=None, delegations=None, listed=None, names=None):
        """Publishes the three roles; each part may be given another version, expiry or signer."""
        expires, signers = expires or {}, signers or {}
        numbers = {"timestamp": timestamp or version, "snapshot": snapshot or version,
                   "targets": targets or version}
        by = lambda role: signers.get(role, self.keys[role])
        until = lambda role: expires.get(role, FUTURE)
        files = {}
        role = Targets(numbers["targets"], expires=until("targets"), delegations=delegations)
        for at, custom in enumerate([model()] if customs is None else customs):
            name = names[at] if names else f"target-{at}"
            role.targets[name] = TargetFile(at + 1, {"sha256": "ab" * 32}, name,
                                            {"custom": custom})
        files["targets"] = self.signed(role, by("targets"))
        described = listed or (lambda number, data: MetaFile.from_data(number, data, ["sha256"]))
        role = Snapshot(numbers["snapshot"], expires=until("snapshot"))
        role.meta["targets.json"] = described(numbers["targets"], files["targets"])
        role.meta |= self.delegated
        files["snapshot"] = self.signed(role, by("snapshot"))
        role = Timestamp(numbers["timestamp"], expires=until("timestamp"))
        role.snapshot_meta = MetaFile.from_data(numbers["snapshot"], files["snapshot"], ["sha256"])
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

    def step(self, expected):
        files = {name: data.decode() for name, data in self.files.items()}
        return {"files": files, "expected": expected}


CASES = {}


def case(name, repo, *steps):
    CASES[name] = {"pinned": repo.pinned.decode(), "steps": list(steps)}


def one(name, expected=UNTRUSTED, repo=None, **options):
    repo = repo or Repo()
    case(name, repo, repo.publish(**options).step(expected))


def after_an_honest_one(name, change, expected=UNTRUSTED, repo=None):
    """First an honest catalog of version 3, which must survive; then the change."""
    repo = repo or Repo()
    honest = repo.publish(3).step("m")
    change(repo)
    wrong = repo.step(expected)
    case(name, repo, honest, wrong)


one("honest", "m")
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
after_an_honest_one("going on", lambda it: it.publish(4, customs=[model("n")]), "n")
after_an_honest_one("the same again", lambda it: None, "m")


def mixed(it):
    """Targets of the same number, rightly signed, that this snapshot does not name."""
    names = copy.deepcopy(it.files)
    it.publish(3, customs=[model("evil")])
    it.files = names | {"3.targets.json": it.files["3.targets.json"]}


after_an_honest_one("mix and match of targets", mixed)


def mixed_snapshot(it):
    names = copy.deepcopy(it.files)
    it.publish(3, customs=[model("evil")])
    it.files["timestamp.json"] = names["timestamp.json"]


after_an_honest_one("mix and match of snapshots", mixed_snapshot)

def renumbered(it):
    it.publish(4, listed=lambda number, data: MetaFile(5))
    it.files["5.targets.json"] = it.files["4.targets.json"]


after_an_honest_one("targets under another number", renumbered)

two = {"root": 2, "targets": 2, "snapshot": 2, "timestamp": 2}
one("thresholds of two met", "m", repo=Repo(two))
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
case("one signature given twice", repo, repo.step(UNTRUSTED))


def rotated(times, **options):
    def change(it):
        for _ in range(times):
            it.rotate(**options)
        it.publish(4, customs=[model("n")])
    return change


after_an_honest_one("root rotation in one step", rotated(1), "n")
after_an_honest_one("root rotation in several steps", rotated(5), "n")
after_an_honest_one("root not signed by the one before", rotated(1, old_signers=[]))
after_an_honest_one("root signed by a stranger", rotated(1, old_signers=[STRANGER]))
after_an_honest_one("root not signed by its own keys", rotated(1, own=False))
after_an_honest_one("root of another number inside", rotated(1, version=7))
after_an_honest_one("root that has expired", rotated(1, expires=PAST))


def broken_chain(it):
    it.rotate()
    it.rotate(old_signers=[STRANGER])
    it.rotate()
    it.publish(4)


after_an_honest_one("a chain of roots broken in the middle", broken_chain)


def gap(it):
    it.rotate()
    it.rotate()
    del it.files["2.root.json"]
    it.publish(4)


after_an_honest_one("a chain of roots with a gap", gap)
repo = Repo(two)
after_an_honest_one("threshold of the root before not met",
                    lambda it: (it.rotate(old_signers=it.keys["root"][:1]), it.publish(4)),
                    repo=repo)

for name, signers, expected in [
    ("delegated targets", None, "m"),
    ("delegated targets signed by another key", [STRANGER], UNTRUSTED),
]:
    repo = Repo()
    repo.delegate(signers)
    case(name, repo, repo.step(expected))

for name in ["timestamp.json", "3.snapshot.json", "3.targets.json"]:
    repo = Repo().publish(3)
    case(f"endless {name}", repo, repo.step(UNTRUSTED) | {"endless": name})
    repo = Repo().publish(3)
    repo.files[name] = repo.files[name][:-30]
    case(f"half of {name}", repo, repo.step(UNTRUSTED))
for name in ["1.snapshot.json", "1.targets.json"]:
    repo = Repo().publish()
    repo.files[name] += b"\n"
    case(f"{name} longer than listed", repo, repo.step(UNTRUSTED))
repo = Repo().publish()
repo.files["timestamp.json"] = repo.files["1.snapshot.json"]
case("a snapshot in place of the timestamp", repo, repo.step(UNTRUSTED))

for name in ["timestamp.json", "1.snapshot.json", "1.targets.json"]:
    repo = Repo().publish()
    del repo.files[name]
    case(f"missing {name}", repo, repo.step("refused"))

one("an unknown kind beside", "m", customs=[model(), model("x", kind="later")])
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

print(json.dumps(CASES))
