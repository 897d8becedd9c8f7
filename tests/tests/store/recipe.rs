//! A small recipe with a layer of every kind, for two arches, with Go from archives.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use treelay_tests::tamper::Random;
use treelay_tests::{Env, Run};

/// By Go's names, with the machine of their ELF headers (gABI, `e_machine`).
const ARCHES: [(&str, u16); 2] = [("amd64", 62), ("arm64", 183)];

/// Bytes of each program of Go: larger than all else but the archives.
pub const PROGRAM: usize = 400_000;

/// Writes `all.yaml`, `few.yaml`, which has no Go, and what they name.
pub fn prepared() -> Env {
    let env = Env::new();
    let archives = ARCHES.map(|(arch, machine)| {
        let sha256 = archive(&env, arch, machine);
        format!("          {arch}: {{path: {arch}.tar.gz, sha256: {sha256}}}\n")
    });
    let inputs = format!(
        "inputs:\n  go:\n    go-toolchain:\n      version: 1.27.3\n      sources: [archive]\n      \
         archive:\n{}",
        archives.concat()
    );
    let toolchain = "  - name: toolchain\n    go-toolchain: {input: go, prefix: /usr/lib/golang}\n";
    env.write("data/noise", chance(1, 300_000));
    for n in 0..20 {
        env.write(&format!("data/part/{n}"), format!("{n}\n").repeat(1000));
    }
    env.write("all.yaml", recipe("all", &inputs, toolchain));
    env.write("few.yaml", recipe("few", "", ""));
    env
}

fn recipe(name: &str, inputs: &str, layer: &str) -> String {
    format!(
        r##"name: {name}
version: "1"
epoch: 1700000000
arch: [amd64, arm64]
{inputs}layers:
{layer}  - name: settings
    files:
      - {{path: /etc/motd, content: "for {{{{ arch }}}}\n"}}
      - {{path: /usr/bin/tool, content: "#!/bin/sh\n", mode: 0755}}
  - name: data
    directory: {{source: data, prefix: /usr/share/data}}
image:
  reference: registry.example/tools/{name}
ostree:
  ref: treelay/{name}/{{{{ arch.uname }}}}
"##
    )
}

/// The smallest distribution of Go that treelay takes, as an archive; its digest.
fn archive(env: &Env, arch: &str, machine: u16) -> String {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend(2_u16.to_le_bytes());
    elf.extend(machine.to_le_bytes());
    elf.extend(1_u32.to_le_bytes());
    elf.resize(52, 0);
    elf.extend(64_u16.to_le_bytes());
    elf.resize(64, 0);
    let program = |seed| [elf.clone(), chance(seed, PROGRAM - elf.len())].concat();
    let folder = format!("unpacked/{arch}/go");
    env.write(&format!("{folder}/VERSION"), "go1.27.3\ntime 2026-10-19T22:20:36Z\n");
    for (seed, file) in ["bin/go", "bin/gofmt"].into_iter().enumerate() {
        env.write(&format!("{folder}/{file}"), program(u64::from(machine) + seed as u64));
    }
    for tool in ["compile", "link"] {
        env.write(&format!("{folder}/pkg/tool/linux_{arch}/{tool}"), program(7));
    }
    env.write(&format!("{folder}/pkg/include/asm.h"), "// asm\n");
    env.write(&format!("{folder}/go.env"), "GOPROXY=direct\n");
    for n in 0..60 {
        env.write(&format!("{folder}/src/p{n}/p.go"), format!("package p{n}\n").repeat(n + 1));
    }
    let name = format!("{arch}.tar.gz");
    let from = format!("unpacked/{arch}");
    env.run("tar").args(["-czf", &name, "-C", &from, "go"]).ok();
    hex::encode(Sha256::digest(fs::read(env.path(name)).unwrap()))
}

/// Bytes that do not compress.
fn chance(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..length.div_ceil(8)).flat_map(|_| random.draw().to_le_bytes()).take(length).collect()
}

/// `treelay build --json` of a recipe.
pub fn build(env: &Env, recipe: &str, outputs: &[&str]) -> Run {
    let file = format!("{recipe}.yaml");
    let outputs = outputs.iter().flat_map(|output| ["-o", output]);
    env.treelay(["build", &file, "--json"]).args(outputs)
}

/// The digests of what a build made: of the index, and of each commit's content.
pub fn digests(report: &Value) -> (Value, Vec<Value>) {
    let commits = report["commits"].as_array().unwrap();
    let commits = commits.iter().map(|commit| commit["content_checksum"].clone());
    (report["index"]["digest"].clone(), commits.collect())
}

/// The store of an environment.
pub fn store(env: &Env) -> PathBuf {
    env.dir().join("store")
}
