//! What the shape of a recipe can be wrong in.

use super::brief;

#[test]
fn shapes_are_checked() {
    let table: &[(&str, &[&str])] = &[
        ("name: y\nname: z\n", &["5:1 [name] the key `name` is there twice | first on line 4"]),
        ("arch: amd64\n", &["4:7 [amd64] arch is `amd64` | expected a list"]),
        ("arch: []\n", &["4:7 [[] arch is empty | expected at least one"]),
        ("layers: []\n", &["4:9 [[] layers is empty | expected at least one"]),
        ("summary:\n", &["5:1 [summary] summary has no value | expected a text"]),
        ("image: ~\n", &["5:1 [image] image has no value | expected a mapping"]),
        ("epoch: -1\n", &["5:8 [-1] epoch is `-1` | expected a whole number from 0 to 4294967295"]),
        (
            "epoch: \"1\"\n",
            &["5:8 [\"1\"] epoch is the text \"1\" | expected a whole number from 0 to 4294967295"],
        ),
        (
            "arch: [amd46, arm64, arm64]\n",
            &[
                "4:8 [amd46] unknown value `amd46` in arch | did you mean `amd64`?",
                "4:22 [arm64] arch has `arm64` twice | ",
            ],
        ),
        (
            "image: {compression: brotli}\n",
            &["5:22 [brotli] unknown value `brotli` in image.compression | expected gzip or zstd"],
        ),
        (
            "layers:\n- name: a\n",
            &["5:3 [n] layer `a` does not say what it is \
               | expected one of the keys go-toolchain, go-build, files, directory, archive, users, certificates or tzdata"],
        ),
        (
            "layers:\n- name: a\n  files: [{path: /a, content: b}]\n  directory: {source: a, prefix: /}\n",
            &["7:3 [directory] layer `a` has files and directory at once \
               | expected exactly one of go-toolchain, go-build, files, directory, archive, users, certificates or tzdata"],
        ),
        (
            "layers:\n- name: a\n  files:\n  - path: /a\n  - {path: /b, link: x, dir: yes}\n",
            &[
                "7:5 [p] an entry of files of layer `a` does not say what it is \
                 | expected one of the keys content, source, link or dir",
                "8:25 [dir] an entry of files of layer `a` has link and dir at once \
                 | expected exactly one of content, source, link or dir",
                "8:30 [yes] dir of an entry of files of layer `a` is `yes` | expected true or false",
            ],
        ),
        (
            "inputs: {a: {}, b: {go-toolchian: 1}}\n",
            &[
                "5:10 [a] inputs.a does not say what it is \
                 | expected one of the keys go-toolchain, archive, pypi, go-modules or git",
                "5:21 [go-toolchian] unknown kind `go-toolchian` of inputs.b \
                 | did you mean `go-toolchain`?",
            ],
        ),
        (
            "inputs: {a: {archive: {sha256: x}, go-toolchain: {sources: [pypy], version: 1}}}\n",
            &[
                "5:14 [archive] inputs.a.archive does not say what it is \
                 | expected one of the keys path or urls",
                "5:36 [go-toolchain] inputs.a has archive and go-toolchain at once \
                 | expected exactly one of go-toolchain, archive, pypi, go-modules or git",
                "5:61 [pypy] unknown value `pypy` in inputs.a.go-toolchain.sources \
                 | did you mean `pypi`?",
            ],
        ),
        (
            "inputs: {a: {archive: {sha256: x, path: a, urls: [b]}}}\n",
            &["5:44 [urls] inputs.a.archive has path and urls at once \
               | expected exactly one of path or urls"],
        ),
        (
            "inputs:\n  go:\n    go-toolchain: {version: 1.2, sources: [archive], archive: {x86: {}}}\n",
            &[
                "7:64 [x86] unknown key `x86` in inputs.go.go-toolchain.archive \
                 | expected amd64, arm64 or ppc64le",
                "7:64 [x86] inputs.go.go-toolchain.archive.x86 does not say what it is \
                 | expected one of the keys path or urls",
            ],
        ),
        (
            "image: &i\n  annotations: {<<: *i}\n",
            &["6:17 [<<] YAML merge keys (`<<`) are not used in recipes | "],
        ),
        (
            "image: {annotations: !!set {a: b}}\n",
            &["5:28 [{] YAML tags (`!…`) are not used in recipes | "],
        ),
        ("---\nname: y\n", &["5:1 [n] a recipe is one YAML document, this is a second | "]),
        (
            "image: {labels: {a: &l {b: *l}}}\n",
            &["5:28 [*l] this alias stands inside what it means | "],
        ),
        ("image: {labels: {[a]: b}}\n", &["5:18 [[] a key must be a text | "]),
    ];
    for (more, expected) in table {
        assert_eq!(brief(more), *expected, "{more}");
    }
}
