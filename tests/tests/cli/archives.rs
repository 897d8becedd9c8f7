//! Go distributions in archives: what is refused, with which words, and that nothing stays.

use treelay_tests::Env;

use crate::fixture::{fails_cleanly, listing, settle, store_is_clean};
use crate::golang::{Files, Member, Tar, distribution, from_archive, write_recipe};

const BUILD: [&str; 6] = ["build", "go.yaml", "-o", "oci:out", "-o", "ostree:repo"];

#[test]
fn a_good_archive_is_built_with_every_bit_in_its_place() {
    let env = Env::new();
    from_archive(&env, "amd64", &Tar::of(&distribution("amd64")).gz());
    env.treelay(["build", "go.yaml", "-o", "tree:tree"]).ok();
    let listing = listing(&env.path("tree"));
    let paths: Vec<_> = listing.lines().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(
        paths.join("\n"),
        "usr 755
usr/bin 755
usr/bin/go 777 ->
usr/bin/gofmt 777 ->
usr/lib 755
usr/lib/golang 755
usr/lib/golang/LICENSE 644
usr/lib/golang/PATENTS 644
usr/lib/golang/VERSION 644
usr/lib/golang/bin 755
usr/lib/golang/bin/go 755
usr/lib/golang/bin/gofmt 755
usr/lib/golang/go.env 644
usr/lib/golang/lib 755
usr/lib/golang/lib/time 755
usr/lib/golang/lib/time/update.bash 755
usr/lib/golang/pkg 755
usr/lib/golang/pkg/include 755
usr/lib/golang/pkg/include/asm.h 644
usr/lib/golang/pkg/tool 755
usr/lib/golang/pkg/tool/linux_amd64 755
usr/lib/golang/pkg/tool/linux_amd64/compile 755
usr/lib/golang/pkg/tool/linux_amd64/link 755
usr/lib/golang/src 755
usr/lib/golang/src/fmt 755
usr/lib/golang/src/fmt/print.go 644"
    );
    store_is_clean(&env.dir().join("store"));
}

#[test]
fn bad_members_are_named_and_nothing_is_written() {
    let good = || Tar::of(&distribution("amd64"));
    for (archive, why) in [
        (
            good().with(b"go/src/../../../evil", Member::File(b"x")),
            r#"member "go/src/../../../evil" of the archive has a path that leaves its root with .."#,
        ),
        (
            good().with(b"/etc/evil", Member::File(b"x")),
            r#"member "/etc/evil" of the archive has a path that is absolute"#,
        ),
        (
            good().with(b"go/src/null", Member::Device),
            r#"member "go/src/null" of the archive is a character device, not a file, directory or link"#,
        ),
        (
            good().with(b"go/src/pipe", Member::Fifo),
            r#"member "go/src/pipe" of the archive is a FIFO, not a file, directory or link"#,
        ),
        (
            good().with(b"go/src/out", Member::Symlink("../../../../etc")),
            r#"member "go/src/out" of the archive is a link that leaves its root: "../../../../etc""#,
        ),
        (
            good().with(b"go/src/hard", Member::HardLink("/etc/passwd")),
            r#"member "go/src/hard" of the archive is a hard link to "/etc/passwd", which is no file before it"#,
        ),
        (
            good().with(b"go/src/caf\xe9", Member::File(b"x")),
            "the name or link target of member \"go/src/caf\u{fffd}\" of the archive is not UTF-8",
        ),
        (
            good().with(b"go/VERSION", Member::File(b"go1.27.4\n")),
            r#"member "go/VERSION" is in the archive twice, and the two differ"#,
        ),
    ] {
        let env = Env::new();
        from_archive(&env, "amd64", &archive.gz());
        let output = fails_cleanly(&env, env.treelay(BUILD), &["out", "repo", "go.lock"]);
        assert_eq!(
            settle(&env, &output.err()),
            format!("error: unpacking go for amd64 from go.tar.gz\n  because: {why}\n"),
        );
    }
}

#[test]
fn damaged_archives_say_where_they_end() {
    let whole = Tar::of(&distribution("amd64")).gz();
    let mut flipped = whole.clone();
    // The CRC-32 of the content is in the last 8 bytes (RFC 1952, section 2.3.1).
    let crc = flipped.len() - 6;
    flipped[crc] ^= 1;
    for (archive, why) in [
        (whole[..whole.len() / 2].to_vec(), "the archive is truncated: it ends at member"),
        (whole[..whole.len() - 4].to_vec(), "the archive is truncated"),
        (flipped, "the archive is damaged"),
        (
            b"<html>404</html>".to_vec(),
            "it is an HTML page; expected a tar, tar.gz, tar.xz, tar.zst, zip or ar",
        ),
        (
            b"go1.27.3".to_vec(),
            "it is something else; expected a tar, tar.gz, tar.xz, tar.zst, zip or ar",
        ),
        (Vec::new(), "it is empty; expected a tar, tar.gz, tar.xz, tar.zst, zip or ar"),
    ] {
        let env = Env::new();
        from_archive(&env, "amd64", &archive);
        let output = fails_cleanly(&env, env.treelay(BUILD), &["out", "repo", "go.lock"]);
        let said = output.err();
        let because =
            said.strip_prefix("error: unpacking go for amd64 from go.tar.gz\n  because: ");
        assert!(because.is_some_and(|said| said.starts_with(why)), "{said}, not {why}");
    }
}

#[test]
fn another_file_than_the_recipe_pins_is_refused() {
    let env = Env::new();
    env.write("go.tar.gz", Tar::of(&distribution("amd64")).gz());
    write_recipe(&env, "amd64", &"0".repeat(64));
    let output = fails_cleanly(&env, env.treelay(BUILD).arg("-q"), &["out", "repo", "go.lock"]);
    assert_eq!(
        settle(&env, &output.err()),
        "error: WRONG CONTENT for go for amd64: what was served is not what was pinned; nothing \
         of it was kept\n  [WORK]/go.tar.gz: WRONG DIGEST: expected sha256:[SHA256], got \
         sha256:[SHA256]\n"
    );
    assert!(output.err().contains(&format!("expected sha256:{}", "0".repeat(64))), "{output}");

    std::fs::remove_file(env.path("go.tar.gz")).unwrap();
    let output = fails_cleanly(&env, env.treelay(BUILD).arg("-q"), &["out", "repo", "go.lock"]);
    assert_eq!(
        settle(&env, &output.err()),
        "error: go for amd64 could not be fetched\n  [WORK]/go.tar.gz: No such file or directory \
         (os error 2)\n"
    );
}

#[test]
fn another_distribution_than_was_asked_for_is_refused() {
    let changed = |path: &str, bytes: &[u8]| -> Files {
        let mut files = distribution("amd64");
        files.iter_mut().find(|(name, _)| name == path).unwrap().1 = bytes.to_vec();
        files
    };
    let without = |path: &str| -> Files {
        distribution("amd64").into_iter().filter(|(name, _)| !name.starts_with(path)).collect()
    };
    let arm = distribution("arm64");
    let (_, tool) = arm.iter().find(|(name, _)| name.ends_with("/link")).unwrap();
    for (files, why) in [
        (
            distribution("ppc64le"),
            "bin/go of the Go distribution is for ppc64le, but x86_64 was asked for",
        ),
        (
            changed("pkg/tool/linux_amd64/link", tool),
            "pkg/tool/linux_amd64/link of the Go distribution is for aarch64, but x86_64 was asked for",
        ),
        (
            changed("bin/gofmt", b"#!/bin/sh\n"),
            "bin/gofmt of the Go distribution is for no ELF machine, but x86_64 was asked for",
        ),
        (
            changed("VERSION", b"go1.27.2\ntime 2026-10-01T00:00:00Z\n"),
            "the Go distribution is version 1.27.2, but 1.27.3 was asked for",
        ),
        (without("pkg/tool"), "the Go distribution has no pkg/tool/linux_amd64"),
        (
            without("VERSION"),
            "there is no Go distribution in it: VERSION is neither at its top nor in go/",
        ),
    ] {
        let env = Env::new();
        from_archive(&env, "amd64", &Tar::of(&files).gz());
        let output = fails_cleanly(&env, env.treelay(BUILD), &["out", "repo", "go.lock"]);
        assert_eq!(
            settle(&env, &output.err()),
            format!("error: checking go for amd64 from go.tar.gz\n  because: {why}\n"),
        );
    }
}
