use super::fixture::Sample;
use super::*;
use crate::ContentSink as _;
use crate::tree::fixture::Memory;

const PATHS: [&str; 2] = ["/treelay/go/", "/treelay/src/"];

fn check(bytes: &[u8], arch: Arch, max_size: Option<u64>) -> Result<BuildInfo, String> {
    let mut memory = Memory::default();
    let (digest, size) = memory.put(&mut &bytes[..]).unwrap();
    let settings = vec![("GOARCH", arch.go()), ("CGO_ENABLED", "0")];
    let gate = Gate { arch, version: "1.27.3", settings, paths: &PATHS, max_size };
    gate.check(&digest, size, &memory).map_err(|error| error.to_string())
}

#[test]
fn a_static_program_passes() {
    for arch in Arch::ALL {
        let sample = Sample::good(arch);
        assert_eq!(check(&sample.bytes(), arch, None).unwrap().path, "example.org/server");
        let experiment = Sample { version: "go1.27.3 X:jsonv2", ..sample };
        check(&experiment.bytes(), arch, Some(1 << 20)).unwrap();
    }
}

#[test]
fn everything_else_is_refused_with_what_is_wrong() {
    let arch = Arch::Arm64;
    let good = Sample::good(arch);
    let setting = |name: &str, value: &'static str| {
        let mut sample = good.clone();
        sample.settings.iter_mut().find(|(n, _)| *n == name).unwrap().1 = value;
        sample.bytes()
    };
    let dynamic = Sample {
        interpreter: Some("/lib/ld-linux-aarch64.so.1"),
        libraries: &["libc.so.6", "libm.so.6"],
        ..good.clone()
    };
    let mut padded = vec![b'/'; CHUNK - 4];
    padded.extend(b"/treelay/src/main.go");
    let table: &[(Vec<u8>, &str)] = &[
        (b"#!/bin/sh\n".to_vec(), "is for no ELF machine, but aarch64 was asked for"),
        (Sample::good(Arch::Amd64).bytes(), "is for x86_64, but aarch64 was asked for"),
        (dynamic.bytes(), "needs /lib/ld-linux-aarch64.so.1, libc.so.6, libm.so.6; only"),
        (
            Sample { libraries: &["libc.so"], ..good.clone() }.bytes(),
            "is not static: it needs libc.so; only",
        ),
        (
            Sample { version: "go1.26.1", ..good.clone() }.bytes(),
            "its version of Go is \"go1.26.1\", but \"go1.27.3\" was asked for",
        ),
        (setting("GOARCH", "amd64"), "its GOARCH is \"amd64\", but \"arm64\""),
        (setting("CGO_ENABLED", "1"), "its CGO_ENABLED is \"1\", but \"0\""),
        (Sample { data: b"x/treelay/go/src/fmt", ..good.clone() }.bytes(), "/treelay/go/ at byte "),
        (Sample { data: &padded, ..good.clone() }.bytes(), "/treelay/src/ at byte 262"),
        (good.bytes()[..100].to_vec(), "it ends too early"),
    ];
    for (bytes, expected) in table {
        let told = check(bytes, arch, None).unwrap_err();
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    let told = check(&Sample { data: &padded, ..good.clone() }.bytes(), arch, None).unwrap_err();
    assert!(told.ends_with(", in .rodata"), "{told}");
    let told = check(&good.bytes(), arch, Some(10)).unwrap_err();
    assert!(told.contains("the recipe's max-size allows 10"), "{told}");
    let mut renamed = good.bytes();
    let at = renamed.windows(13).position(|window| window == b".go.buildinfo").unwrap();
    renamed[at + 1] = b'x';
    assert!(check(&renamed, arch, None).unwrap_err().contains("no Go build info"));
}

#[test]
fn headers_that_make_no_sense_are_an_error_and_no_panic() {
    let bytes = Sample {
        interpreter: Some("/lib/ld.so"),
        libraries: &["libc.so.6"],
        ..Sample::good(Arch::Amd64)
    }
    .bytes();
    for at in 20..400.min(bytes.len()) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bad = bytes.clone();
            bad[at] = value;
            // Whatever it says: it says something.
            let _ = check(&bad, Arch::Amd64, None);
        }
    }
}
