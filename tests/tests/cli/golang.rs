//! Small Go distributions, and archives of them: whole ones and bad ones.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use treelay_tests::Env;

/// The arches by Go's names, with the machine in their ELF headers (gABI, `e_machine`).
pub const MACHINES: [(&str, u16); 3] = [("amd64", 62), ("arm64", 183), ("ppc64le", 21)];

/// Files of a distribution.
pub type Files = Vec<(String, Vec<u8>)>;

/// A distribution of Go 1.27.3 that is as small as treelay lets it be.
pub fn distribution(arch: &str) -> Files {
    let program = |name: &str| [elf(arch).as_slice(), name.as_bytes()].concat();
    let tool = |name: &str| (format!("pkg/tool/linux_{arch}/{name}"), program(name));
    let text = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    vec![
        text("VERSION", "go1.27.3\ntime 2026-10-19T22:20:36Z\n"),
        text("go.env", "GOPROXY=direct\n"),
        ("bin/go".to_owned(), program("go")),
        ("bin/gofmt".to_owned(), program("gofmt")),
        text("lib/time/update.bash", "#!/bin/sh\n"),
        text("pkg/include/asm.h", "// asm\n"),
        tool("compile"),
        tool("link"),
        text("src/fmt/print.go", "package fmt\n"),
    ]
}

/// The header of an ELF file for `arch`: 64 bits, little-endian, an executable.
fn elf(arch: &str) -> Vec<u8> {
    let (_, machine) = MACHINES.into_iter().find(|(name, _)| *name == arch).unwrap();
    // ppc64le is told from ppc64 by its ABI, 2, in the flags.
    let flags: u32 = if arch == "ppc64le" { 2 } else { 0 };
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend(2_u16.to_le_bytes());
    header.extend(machine.to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    header.extend([0; 24]);
    header.extend(flags.to_le_bytes());
    header.extend(64_u16.to_le_bytes());
    header.resize(64, 0);
    header
}

/// Writes a distribution as a folder.
pub fn write(env: &Env, folder: &str, files: &Files) {
    for (path, bytes) in files {
        env.write(&format!("{folder}/{path}"), bytes);
    }
}

/// A recipe whose Go is unpacked in `sdk/ARCH/go`.
pub const FROM_DIR: &str = r#"
name: golang
version: "{{ input.go.version }}"
arch: [amd64, arm64, ppc64le]
inputs:
  go:
    go-toolchain:
      version: 1.27.3
      sources: [dir]
      dir: sdk/{{ arch }}/go
layers:
  - name: toolchain
    go-toolchain: {input: go, prefix: /usr/lib/golang, link: /usr/bin}
"#;

/// An environment with [`FROM_DIR`] and its folders.
pub fn from_dir() -> Env {
    let env = Env::new();
    env.write("go.yaml", FROM_DIR);
    for (arch, _) in MACHINES {
        write(&env, &format!("sdk/{arch}/go"), &distribution(arch));
    }
    env
}

/// Writes `archive` as `go.tar.gz`, and `go.yaml`, which takes it for `arch`.
pub fn from_archive(env: &Env, arch: &str, archive: &[u8]) {
    env.write("go.tar.gz", archive);
    write_recipe(env, arch, &hex::encode(Sha256::digest(archive)));
}

/// Writes `go.yaml`, which takes `go.tar.gz` with this digest for `arch`.
pub fn write_recipe(env: &Env, arch: &str, sha256: &str) {
    let recipe = FROM_DIR
        .replace("arch: [amd64, arm64, ppc64le]", &format!("arch: [{arch}]"))
        .replace("sources: [dir]", "sources: [archive]")
        .replace(
            "dir: sdk/{{ arch }}/go",
            &format!("archive: {{{arch}: {{path: go.tar.gz, sha256: {sha256}}}}}"),
        );
    env.write("go.yaml", recipe);
}

/// What a member of a tar archive is (POSIX ustar, `typeflag`).
#[derive(Clone, Copy)]
pub enum Member<'a> {
    File(&'a [u8]),
    HardLink(&'a str),
    Symlink(&'a str),
    Device,
    Fifo,
}

/// A tar archive, written by hand, because no writer makes the bad ones.
#[derive(Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// The distribution below `go/`, as Go publishes it.
    pub fn of(files: &Files) -> Self {
        let mut tar = Self::default();
        for (path, bytes) in files {
            tar = tar.with(format!("go/{path}").as_bytes(), Member::File(bytes));
        }
        tar
    }

    /// Adds a member.
    pub fn with(mut self, name: &[u8], member: Member<'_>) -> Self {
        let (flag, link, content): (u8, &str, &[u8]) = match member {
            Member::File(bytes) => (b'0', "", bytes),
            Member::HardLink(target) => (b'1', target, b""),
            Member::Symlink(target) => (b'2', target, b""),
            Member::Device => (b'3', "", b""),
            Member::Fifo => (b'6', "", b""),
        };
        let mut header = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name);
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", content.len()).as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[flag]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The archive, compressed.
    pub fn gz(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&self.0).unwrap();
        gzip.finish().unwrap()
    }
}
