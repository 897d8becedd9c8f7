//! What the values of a recipe can be wrong in.

use super::brief;

#[test]
fn values_are_checked() {
    let table: &[(&str, &[&str])] = &[
        (
            "name: Go SDK\n",
            &[
                "4:7 [Go SDK] the name `Go SDK` must be lowercase letters, digits, `-`, `_` and `.`, \
               a letter or digit first | ",
            ],
        ),
        (
            "version: 1.0+x\n",
            &[
                "4:10 [1.0+x] the version `1.0+x` must be letters, digits, `_`, `.` and `-`, not `.` \
               or `-` first, since it is a tag too | ",
            ],
        ),
        (
            "layers:\n- {name: a, files: [{path: /a, dir: true}]}\n\
             - {name: a, files: [{path: /b, dir: true}]}\n",
            &["6:10 [a] two layers are called `a` | the first is on line 5"],
        ),
        (
            "inputs: {s: {git: {url: \"git://a/b\", commit: 0123456, ref: a..b, dir: ../x}}}\n",
            &[
                "5:25 [\"git://a/b\"] the repository `git://a/b` is none of https://, ssh://, file:// \
                 and a local path | ",
                "5:46 [0123456] the commit `0123456` is not a whole commit: 40 lowercase hex digits, \
                 64 with SHA-256; `ref` takes names | ",
                "5:60 [a..b] the ref `a..b` is no name of a branch or tag | ",
                "5:71 [../x] the folder `../x` has an empty, `.` or `..` part | ",
            ],
        ),
        (
            "inputs: {s: {git: {url: a}}, m: {go-modules: {input: m}}}\n",
            &[
                "5:25 [a] nothing says which commit of the repository is meant \
                 | expected `commit`, or `ref` with a branch or tag, beside `url`",
                "5:54 [m] the input `m` is a set of go-modules \
                 | expected an input of the kind git or archive",
            ],
        ),
        (
            "inputs: {go: {go-toolchain: {version: 1.27.3, sources: [pypi]}}}\n\
             layers:\n- {name: a, go-build: {source: {dir: x}, packages: [.], dest: /a, vcs: true}}\n",
            &["6:10 [a] layer `a` has `vcs: true`, and no commit to tell \
               | expected `source: {git: NAME}`: what else has a source has no commit"],
        ),
        (
            "layers:\n- {name: a b, arch: [ppc64le], files: [{path: /a, dir: true}]}\n",
            &["5:22 [ppc64le] layer `a b` is for ppc64le, the recipe is not \
               | expected amd64 or arm64"],
        ),
        (
            "layers:\n- {name: a b, files: [{path: /a, dir: true}]}\n",
            &["5:10 [a b] the layer name `a b` must be letters, digits, `-`, `_`, `.` and `+`, \
               a letter or digit first | "],
        ),
        (
            "inputs: {G: {archive: {path: a, sha256: sha256:00}}}\n",
            &[
                "5:10 [G] the input name `G` must be lowercase letters, digits, `-` and `_`, \
                 a letter or digit first | ",
                "5:41 [sha256:00] the sha256 `sha256:00` must stand without `sha256:` in front | ",
            ],
        ),
        (
            "inputs:\n  go: {go-toolchain: {version: go1.27, sources: [dir, archive]}}\n",
            &[
                "6:32 [go1.27] the Go version `go1.27` must stand without `go` in front | ",
                "6:50 [dir] the source `dir` of input `go` has no place \
                 | expected `dir:` beside `sources`",
                "6:55 [archive] the source `archive` of input `go` has no place \
                 | expected `archive:` beside `sources`",
            ],
        ),
        (
            "inputs:\n  go:\n    go-toolchain:\n      version: 1.27.x\n      sources: [pypi]\n      \
             dir: sdk\n      archive: {amd64: {sha256: 0, urls: [http://a/b, ftp://c]}}\n",
            &[
                "8:16 [1.27.x] the Go version `1.27.x` is not a Go version such as 1.27.3, 1.27 or \
                 1.27rc1, nor `stable` | ",
                "10:7 [dir] `dir` is given, but is no source of input `go` \
                 | expected `dir` among its `sources`",
                "11:7 [archive] `archive` is given, but is no source of input `go` \
                 | expected `archive` among its `sources`",
                "11:7 [archive] the archive of input `go` has not every arch \
                 | expected one for arm64",
                "11:33 [0] the sha256 `0` is not 64 lowercase hex digits | ",
                "11:43 [http://a/b] the URL `http://a/b` is plain http to another machine; use \
                 https | ",
                "11:55 [ftp://c] the URL `ftp://c` is not an https URL | ",
            ],
        ),
        (
            "inputs: {a: {archive: {path: a}}}\n",
            &["5:30 [a] nothing says what the archive must be \
               | expected `sha256`, or `verify` with who says it, beside it"],
        ),
        (
            "inputs: {a: {archive: {path: a, verify: {chekcsum: b}}}}\n",
            &["5:42 [chekcsum] unknown key `chekcsum` in inputs.a.archive.verify \
               | did you mean `checksum`?"],
        ),
        (
            "inputs:\n  a: {archive: {path: a, verify: {checksum: \"http://a/b\", openpgp:\n    \
             {signature: s, over: checksum, keys: [k], fingerprints: [D38B4796, x]}}}}\n",
            &[
                "6:45 [\"http://a/b\"] the place `http://a/b` is plain http to another machine; use \
                 https | ",
                "7:62 [D38B4796] the fingerprint `D38B4796` is a key ID, which others can make \
                 keys for: give the whole fingerprint | ",
                "7:72 [x] the fingerprint `x` is not the fingerprint of an OpenPGP key, 40 hex \
                 digits | ",
            ],
        ),
        (
            "inputs:\n  a: {archive: {path: a, verify: {openpgp:\n    {signature: s, over: checksum, \
             keys: [k], fingerprints: [\"0xEB4C 1BFD 4F04 2F6D DDCC EC91 7721 F63B D38B 4796\"]}}}}\n",
            &["7:17 [s] the signature is over a list of checksums that is not named \
               | expected `checksum` beside `openpgp`"],
        ),
        (
            "inputs:\n  go: {go-toolchain: {version: 1.27.3, sources: [pypi, dir], dir: sdk,\n    \
             verify: [sumdb], sumdb: off}}\n",
            &[
                "6:50 [pypi] `verify: [sumdb]` of input `go` needs the distribution as it was \
                 published, which the source `pypi` has not \
                 | expected other sources alone, such as `go.dev`",
                "6:56 [dir] `verify: [sumdb]` of input `go` needs the distribution as it was \
                 published, which the source `dir` has not \
                 | expected other sources alone, such as `go.dev`",
                "7:29 [off] the checksum database `off` asks nobody: leave `sumdb` out of \
                 `verify` | ",
            ],
        ),
        (
            "inputs:\n  m: {go-modules: {dir: a, sumdb: sum.example, private: \"a b\"}}\n",
            &[
                "6:28 [sumdb] `sumdb` is given, but the checksum database is not asked about \
                 input `m` | expected `verify: [sumdb]` beside it",
                "6:35 [sum.example] the checksum database `sum.example` is neither \
                 sum.golang.org nor the key of a database, NAME+HASH+KEY | ",
                "6:48 [private] `private` is given, but the checksum database is not asked about \
                 input `m` | expected `verify: [sumdb]` beside it",
                "6:57 [\"a b\"] the list `a b` has white space in it | ",
            ],
        ),
        (
            "inputs:\n  go:\n    go-toolchain: {version: stable, sources: [mirror], mirror: \"http://m.example/{{ file }}\"}\n",
            &[
                "7:29 [stable] a mirror does not say which release is `stable` \
                 | expected one such as 1.27.3, or `go.dev` among the `sources`",
                "7:64 [\"http://m.example/{{ file }}\"] the mirror `http://m.example/{{file}}` is plain \
                 http to another machine; use https | ",
            ],
        ),
        (
            "inputs:\n  go:\n    go-toolchain: {version: 1.27, sources: [oci, go.dev], proxy: off, \
             oci: {image: \"docker://r.example/go:1\", layer: {amd64: \"sha256:00\"}}}\n",
            &[
                "7:59 [proxy] `proxy` is given, but `module` is no source of input `go` \
                 | expected `module` among its `sources`",
                "7:84 [\"docker://r.example/go:1\"] the image `docker://r.example/go:1` is not pinned: a name \
                 in a registry may mean another image tomorrow | ",
                "7:111 [layer] input `go` has not a layer for every arch | expected one for arm64",
                "7:126 [\"sha256:00\"] the layer `sha256:00` is not sha256: and 64 hex digits | ",
            ],
        ),
        (
            "inputs:\n  go:\n    go-toolchain: {version: 1.27.3, sources: [dir], dir: \"{{ file }}\"}\n",
            &[
                "7:58 [\"{{ file }}\"] unknown template name `file` | expected arch, arch.uname or name",
            ],
        ),
        (
            "layers:\n- {name: a, go-toolchain: {input: gp, prefix: usr, link: /}}\n\
             inputs: {go: {go-toolchain: {version: 1.27.3, sources: [pypi]}}}\n",
            &[
                "5:35 [gp] there is no input `gp` | did you mean `go`?",
                "5:47 [usr] the prefix `usr` is not absolute | ",
                "5:58 [/] the folder `/` is the root itself | ",
            ],
        ),
        (
            "layers:\n- {name: a, go-toolchain: {input: go, prefix: /usr}}\n",
            &["5:35 [go] there is no input `go` | expected an input that `inputs` names"],
        ),
        (
            "layers:\n- name: a\n  files:\n  - {path: /a, link: b, mode: 0777}\n  \
             - {path: /a, content: x, mode: 0999}\n  - {path: /b, dir: false}\n  \
             - {path: /c/../d, source: \"\", mode: 17777}\n  \
             - {path: /e, content: x, xattrs: {comment: x}}\n",
            &[
                "7:31 [0777] a symbolic link has no mode | leave `mode` out",
                "8:12 [/a] `/a` is there twice | the first is on line 7",
                "8:34 [0999] the mode `0999` is not octal such as 0644 | ",
                "9:12 [/b] `/b` has `dir: false` | expected `dir: true`, or what else it is",
                "10:12 [/c/../d] the path `/c/../d` must not contain `..` | ",
                "10:29 [\"\"] the source `` is empty | ",
                "10:39 [17777] the mode `17777` is more than 7777 | ",
                "11:37 [comment] the attribute name `comment` must start with user., security., \
                 trusted. or system. | ",
            ],
        ),
        (
            "layers:\n- name: a\n  files:\n  - {path: /a, content: x, caps: cap_net_bind=ep}\n  \
             - {path: /b, content: x, caps: cap_kill=epz}\n  \
             - {path: /c, dir: true, caps: cap_kill=ep}\n  \
             - {path: /d, content: x, user: ap}\n  \
             - {path: /e, content: x, user: app, uid: 1}\n  \
             - {path: /f, content: x, xattrs: {security.capability: x}}\n  \
             attributes: [{path: a, caps: \"\"}]\n\
             - {name: b, users: {accounts: [{name: app, uid: 7}]}}\n",
            &[
                "7:34 [cap_net_bind=ep] `cap_net_bind=ep` has `cap_net_bind`, which is no \
                 capability | did you mean `cap_net_bind_service`?",
                "8:34 [cap_kill=epz] `cap_kill=epz` has the flag `z`; expected e, i or p | ",
                "9:33 [cap_kill=ep] only a file has capabilities | leave `caps` out",
                "10:34 [ap] no `users` layer has the account `ap` | did you mean `app`?",
                "11:34 [app] both `user` and `uid` say whose it is | leave `uid` out",
                "12:37 [security.capability] `security.capability` is not a text \
                 | expected `caps` beside `xattrs`",
                "13:23 [a] the path `a` is not absolute | ",
                "13:32 [\"\"] `` is empty | ",
            ],
        ),
        (
            "layers:\n- name: a\n  users:\n    accounts:\n    - {name: App, uid: 7}\n    \
             - {name: app, uid: 7, home: a, shell: \"/b:c\", comment: \"a:b\"}\n    \
             - {name: app, uid: 65535}\n    \
             groups:\n    - {name: app, gid: 8, members: [root, apq]}\n    \
             - {name: tty, gid: 8}\n    - {name: root, gid: 5}\n- {name: b, users: {accounts: [{name: toor, uid: 0}]}}\n",
            &[
                "8:14 [App] the account `App` must be lowercase letters, digits, `-` and `_`, a \
                 letter or `_` first | ",
                "9:14 [app] two accounts have the uid 7 | the first is on line 8",
                "9:33 [a] the home `a` is not absolute | ",
                "9:43 [\"/b:c\"] the shell `/b:c` has a `:`, which ends a field of passwd | ",
                "9:60 [\"a:b\"] the comment `a:b` has a `:`, which ends a field of passwd | ",
                "10:14 [app] two accounts are called `app` | the first is on line 9",
                "12:14 [app] the group `app` is not the account's own | expected gid 7",
                "12:43 [apq] `apq` is none of the layer's accounts | did you mean `App`?",
                "13:14 [tty] two groups have the gid 8 | the first is on line 12",
                "14:14 [root] the group `root` has another number | expected gid 0",
                "15:39 [toor] the uid 0 is root's | expected the name root, or another uid",
            ],
        ),
        (
            "layers:\n- {name: a, certificates: {input: tz, path: /a}}\n\
             - {name: b, tzdata: {input: t, path: a/../b, localtime: europe/.}}\n\
             inputs: {tz: {pypi: {package: -x, version: \">=1\"}}, g: {go-toolchain: {version: 1.27, \
             sources: [pypi]}}}\n",
            &[
                "5:45 [/a] the path `/a` must not start with `/`: it is a path in the input | ",
                "6:29 [t] there is no input `t` | did you mean `g`?",
                "6:38 [a/../b] the path `a/../b` has an empty, `.` or `..` part | ",
                "6:57 [europe/.] the zone `europe/.` is no time zone such as Europe/Berlin | ",
                "7:31 [-x] the package `-x` must be letters, digits, `-`, `_` and `.`, a letter or \
                 digit first and last | ",
                "7:44 [\">=1\"] the version `>=1` is not one version such as 2026.1.4 | ",
            ],
        ),
        (
            "layers:\n- {name: a, certificates: {input: go}}\n\
             inputs: {go: {go-toolchain: {version: 1.27.3, sources: [pypi]}}}\n",
            &[
                "5:35 [go] the input `go` is a go-toolchain | expected an input of the kind pypi or \
               archive",
            ],
        ),
        (
            "layers:\n- {name: a, directory: {source: a, prefix: a/b, mode: rw, exclude: [/x]}}\n",
            &[
                "5:44 [a/b] the prefix `a/b` is not absolute | ",
                "5:55 [rw] the mode `rw` is not octal such as 0644 | ",
                "5:69 [/x] the pattern `/x` must not start with `/`: it is below the source | ",
            ],
        ),
        (
            "image: {base: docker://x, reference: tools/go}\n",
            &[
                "5:15 [docker://x] the base `docker://x` is not pinned: a name in a registry may mean \
                 another image tomorrow | expected @sha256: and its digest at the end",
                "5:38 [tools/go] the reference `tools/go` must start with the registry's host, \
                 such as registry.example/ | ",
            ],
        ),
        (
            "image:\n  config: {user: a b, ports: [99999, 80/sctp], stop-signal: SIGTREM}\n",
            &[
                "6:18 [a b] the user `a b` is not `user`, `uid`, `user:group` or `uid:gid` | ",
                "6:31 [99999] the port `99999` is not a port such as 8080, 8080/tcp or 53/udp | ",
                "6:38 [80/sctp] the port `80/sctp` is not a port such as 8080, 8080/tcp or 53/udp | ",
                "6:61 [SIGTREM] the signal `SIGTREM` is not a signal such as SIGTERM \
                 | did you mean `SIGTERM`?",
            ],
        ),
        (
            "image: {config: {env: {1A: x}, workdir: a, volumes: [b/], labels: {\"a b\": c}}}\n",
            &[
                "5:24 [1A] the variable name `1A` must be letters, digits and `_`, not a digit \
                 first | ",
                "5:41 [a] the directory `a` is not absolute | ",
                "5:54 [b/] the volume `b/` is not absolute | ",
                "5:68 [\"a b\"] the key `a b` has white space in it | ",
            ],
        ),
        (
            "ostree: {ref: a/b, collection: org}\n",
            &[
                "5:15 [a/b] the ref is the same for every arch of the recipe \
                 | expected `{{ arch.uname }}` in it",
                "5:32 [org] the collection id `org` is not a reversed domain name such as \
                 org.example.Tools | ",
            ],
        ),
        (
            "ostree: {base: {repo: ../os}, remove: [usr, /, /a/../b], replace: [/]}\n",
            &[
                "5:10 [base] ostree.base does not say which commit it is \
                 | expected `ref`, or `commit` for each arch",
                "5:40 [usr] the path `usr` is not absolute | ",
                "5:45 [/] the path `/` is the root itself | ",
                "5:48 [/a/../b] the path `/a/../b` must not contain `..` | ",
                "5:68 [/] the path `/` is the root itself | ",
            ],
        ),
        (
            "ostree: {contexts: []}\n",
            &["5:10 [contexts] ostree.contexts has no policy to add to \
               | expected `base`, whose policy labels the layers"],
        ),
        (
            "ostree: {base: {repo: os, ref: a}, contexts: [{path: a, context: bin_t}, \
             {path: /a, type: f, context: \"u:r:t:s0:c0.c1,c3\"}, {path: /a b, context: \"<<none>>\"}, \
             {path: /é, context: a:b}, {path: /a, type: f, context: \"u:r:t:\"}]}\n",
            &[
                "5:54 [a] the path `a` is not absolute | ",
                "5:132 [/a b] the path `/a b` has white space in it | ",
                "5:167 [/é] the path `/é` has characters outside of ASCII; write `.` for each of \
                 their bytes | ",
                "5:180 [a:b] the context `a:b` is neither a context as user:role:type:level, nor a \
                 type, nor `<<none>>` | ",
                "5:193 [/a] `/a` has two contexts | ",
                "5:215 [\"u:r:t:\"] the context `u:r:t:` is neither a context as \
                 user:role:type:level, nor a type, nor `<<none>>` | ",
            ],
        ),
        (
            "ostree: {base: {repo: ../os, commit: {amd64: abc}}}\n",
            &[
                "5:30 [commit] ostree.base has not a commit for every arch | expected one for arm64",
                "5:46 [abc] the commit `abc` is not 64 lowercase hex digits | ",
            ],
        ),
        (
            "ostree: {base: {ref: a, remote: {url: http://r.example/a, ed25519-key: abc}}}\n",
            &[
                "5:39 [http://r.example/a] the address `http://r.example/a` is plain http to another \
                 machine; use https | ",
                "5:72 [abc] the key `abc` is not the base64 of 32 bytes | ",
            ],
        ),
        (
            "ostree: {base: {ref: a, remote: {url: https://r.example/a}}}\n",
            &["5:25 [remote] nothing says who signs the commits of ostree.base.remote \
               | expected `gpg-key`, `ed25519-key` or `spki-key`"],
        ),
        (
            "ostree: {base: {ref: a, remote: {url: https://r.example/a, gpg-key: k, unverified: \
             true}}}\n",
            &["5:25 [remote] ostree.base.remote has a key, and is `unverified` \
               | expected one or the other"],
        ),
        (
            "ostree: {base: {ref: a, remote: {url: https://r.example/a, gpg-key: k, revoked-keys: \
             /r}}}\n",
            &["5:72 [revoked-keys] `revoked-keys` revokes nothing of ostree.base.remote \
                 | expected `ed25519-key` or `spki-key` beside it"],
        ),
        (
            "ostree: {base: {image: docker://r.example/os:1, ref: a}}\n",
            &[
                "5:24 [docker://r.example/os:1] the image `docker://r.example/os:1` is not pinned: a \
                 name in a registry may mean another image tomorrow | ",
                "5:49 [ref] `ref` says nothing of an image | expected the image alone, which is one \
                 commit",
            ],
        ),
        (
            "ostree: {base: {ref: a}, bootable: maybe}\n",
            &[
                "5:10 [base] ostree.base does not say what it is | expected one of the keys repo, remote or image",
                "5:36 [maybe] unknown value `maybe` in ostree.bootable | expected auto, true or false",
            ],
        ),
        (
            "ostree:\n  ref: a//{{ arch }}\n",
            &[
                "6:8 [a//{{ arch }}] the ref `a//amd64` is not a ref: letters, digits, `-`, `.` and \
               `_` between single `/` | ",
            ],
        ),
        (
            "summary: \"{{ arch\"\n",
            &["5:10 [\"{{ arch\"] `{{` without `}}` \
               | expected `}}`; a literal `{{` is written `{{ \"{{\" }}`"],
        ),
        (
            "inputs: {data: {archive: {path: \"{{ input.data.version }}\", sha256: 0}}}\n\
             summary: \"{{ input.data.version }}\"\n",
            &[
                "5:33 [\"{{ input.data.version }}\"] unknown template name `input.data.version` \
                 | `data` has no version",
                "5:69 [0] the sha256 `0` is not 64 lowercase hex digits | ",
                "6:10 [\"{{ input.data.version }}\"] unknown template name `input.data.version` \
                 | `data` has no version",
            ],
        ),
        (
            "inputs: {go: {go-toolchain: {version: 1.27.3, sources: [pypi]}}}\n\
             summary: \"{{ input.og.version }} {{ arch }}\"\n\
             image: {reference: \"r.example/{{ arch }}\"}\n",
            &[
                "6:10 [\"{{ input.og.version }} {{ arch }}\"] unknown template name \
                 `input.og.version` | did you mean `input.go.version`?",
                "7:20 [\"r.example/{{ arch }}\"] `arch` has no meaning here \
                 | this text is the same for every arch",
            ],
        ),
        (
            "version: \"{{ version }}\"\n",
            &["4:10 [\"{{ version }}\"] `version` has no meaning here \
               | the version cannot name itself"],
        ),
    ];
    for (more, expected) in table {
        assert_eq!(brief(more), *expected, "{more}");
    }
}
