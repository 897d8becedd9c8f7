//! Labels as libselinux gives them, and paths to ask it for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use treelay_ci::tools::Kept;
use treelay_layers::selinux::{FileContexts, FileType, Own, Texts};

use crate::tamper::Random;
use crate::{Env, Run, tools};

/// How many paths one process is asked for; their bytes must fit in its arguments.
const AT_ONCE: usize = 10_000;

/// Paths, each with what it is.
pub type Paths = BTreeSet<(FileType, String)>;

/// The files of a policy, copied to where a test may change them.
pub struct Policy {
    /// `file_contexts`; the others are beside it.
    file: PathBuf,
    texts: BTreeMap<&'static str, Vec<u8>>,
}

/// What libselinux appends to the name of `file_contexts`.
const PARTS: [&str; 5] = ["", ".homedirs", ".local", ".subs", ".subs_dist"];

impl Policy {
    /// Debian's, without what is compiled, so that the text is what is read.
    ///
    /// # Panics
    /// When set-up has not made it.
    pub fn of_debian(env: &Env) -> Self {
        let from = tools::kept(Kept::Selinux);
        let text = |part: &&str| fs::read(format!("{}{part}", from.display())).ok();
        let texts: Vec<_> = PARTS.iter().filter_map(|part| Some((*part, text(part)?))).collect();
        Self::new(env, "debian", texts)
    }

    /// One of a test's own: the text of each part (`""`, `.local`, …).
    pub fn new(env: &Env, name: &str, texts: Vec<(&'static str, Vec<u8>)>) -> Self {
        let mut file = PathBuf::new();
        for (part, text) in &texts {
            let path = env.write(&format!("{name}/file_contexts{part}"), text);
            if part.is_empty() {
                file = path;
            }
        }
        Self { file, texts: texts.into_iter().collect() }
    }

    /// As treelay reads it.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn parse(&self, own: &[Own]) -> FileContexts {
        let text = |part| self.texts.get(part).map_or(&[][..], Vec::as_slice);
        let texts = Texts {
            contexts: text(""),
            homedirs: text(".homedirs"),
            local: text(".local"),
            subs: text(".subs"),
            subs_dist: text(".subs_dist"),
        };
        FileContexts::parse(&texts, own).unwrap()
    }

    /// Asks `matchpathcon`, started by `program`, for every path.
    ///
    /// # Panics
    /// When it fails.
    pub fn ask(&self, program: impl Fn() -> Run, paths: &Paths) -> Vec<String> {
        let mut labels = Vec::new();
        for kind in FileType::ALL {
            // Its letters are those of find(1).
            let letter = if kind == FileType::Regular { 'f' } else { kind.letter() };
            let of_kind: Vec<&String> =
                paths.iter().filter(|(of, _)| *of == kind).map(|(_, path)| path).collect();
            for paths in of_kind.chunks(AT_ONCE) {
                let run = program().args(["-n", "-N", "-m", &letter.to_string(), "-f"]);
                let said = run.arg(&self.file).args(paths).ok().out();
                labels.extend(said.lines().map(str::to_owned));
            }
        }
        assert_eq!(labels.len(), paths.len());
        labels
    }

    /// The paths whose labels are not the given ones, a line for each, and how many have one.
    ///
    /// # Panics
    /// When a pattern cannot be compared.
    pub fn differences(&self, paths: &Paths, labels: &[String]) -> (Vec<String>, usize) {
        let contexts = self.parse(&[]);
        let mut labelled = 0;
        let mut differences = Vec::new();
        for ((kind, path), theirs) in paths.iter().zip(labels) {
            let ours = contexts.label(path.as_bytes(), *kind).unwrap();
            labelled += usize::from(ours.is_some());
            let ours = ours.unwrap_or("<<none>>");
            if ours != theirs {
                differences.push(format!("{} {path}: {ours}, {theirs}", kind.letter()));
            }
        }
        (differences, labelled)
    }

    /// Paths for every specification: ones that it matches, and ones near to them.
    pub fn paths(&self) -> Paths {
        let mut random = Random(0x5E11);
        let mut paths = Paths::new();
        let lines = self.texts.iter().filter(|(part, _)| !part.contains("subs"));
        for line in lines.flat_map(|(_, text)| text.split(|&byte| byte == b'\n')) {
            let text = std::str::from_utf8(line).unwrap();
            let mut words = text.split_whitespace();
            let Some(pattern) = words.next().filter(|word| word.starts_with('/')) else { continue };
            let own = words.next().and_then(|word| {
                FileType::ALL.into_iter().find(|kind| word == format!("-{}", kind.letter()))
            });
            for turn in 0..4 {
                let mut path = Sample { rest: pattern.as_bytes(), random: &mut random }.path();
                match turn {
                    2 => path.push_str("/below"),
                    3 => drop(path.pop()),
                    _ => {}
                }
                let any = FileType::ALL[random.below(7) as usize];
                let kind = if turn == 1 { any } else { own.unwrap_or(any) };
                if path.starts_with('/') && !path.contains('\n') {
                    paths.insert((kind, path));
                }
            }
        }
        paths
    }
}

/// What is below the machine's own folder, without other file systems, at most `most` of it.
pub fn paths_of_machine(folder: &Path, most: usize) -> Paths {
    let mut paths = Paths::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // Others may be at work there.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (Ok(kind), Some(path)) = (entry.file_type(), entry.path().to_str().map(Into::into))
            else {
                continue;
            };
            let path: String = path;
            if paths.len() >= most || path.contains('\n') {
                continue;
            }
            paths.insert((file_type(kind), path));
            if kind.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    paths
}

fn file_type(kind: fs::FileType) -> FileType {
    match kind {
        _ if kind.is_dir() => FileType::Directory,
        _ if kind.is_symlink() => FileType::Symlink,
        _ if kind.is_char_device() => FileType::CharDevice,
        _ if kind.is_block_device() => FileType::BlockDevice,
        _ if kind.is_fifo() => FileType::Fifo,
        _ if kind.is_socket() => FileType::Socket,
        _ => FileType::Regular,
    }
}

/// A text that a pattern matches, in the little of PCRE that policies use; near enough otherwise.
struct Sample<'a> {
    rest: &'a [u8],
    random: &'a mut Random,
}

impl Sample<'_> {
    fn path(&mut self) -> String {
        let mut path = self.alternatives();
        while !self.rest.is_empty() {
            self.rest = &self.rest[1..];
            path += &self.alternatives();
        }
        path
    }

    /// Up to the end of the group.
    fn alternatives(&mut self) -> String {
        let mut all = vec![self.sequence()];
        while self.rest.first() == Some(&b'|') {
            self.rest = &self.rest[1..];
            all.push(self.sequence());
        }
        let one = self.random.below(all.len() as u64) as usize;
        all.swap_remove(one)
    }

    fn sequence(&mut self) -> String {
        let mut text = String::new();
        while let Some((&byte, rest)) = self.rest.split_first() {
            if matches!(byte, b'|' | b')') {
                break;
            }
            self.rest = rest;
            let atom = match byte {
                b'(' => {
                    self.rest = self.rest.strip_prefix(b"?:").unwrap_or(self.rest);
                    let inner = self.alternatives();
                    self.rest = self.rest.strip_prefix(b")").unwrap_or(self.rest);
                    inner
                }
                b'[' => self.class(),
                b'.' => self.any().to_string(),
                b'\\' => {
                    let escaped = self.rest.first().copied().unwrap_or(b'x');
                    self.rest = self.rest.get(1..).unwrap_or_default();
                    if escaped == b'd' { "7".to_owned() } else { char::from(escaped).to_string() }
                }
                b'^' | b'$' => String::new(),
                _ => char::from(byte).to_string(),
            };
            let (least, most) = match self.rest.first() {
                Some(b'?') => (0, 1),
                Some(b'*') => (0, 3),
                Some(b'+') => (1, 3),
                _ => (1, 1),
            };
            if (least, most) != (1, 1) {
                self.rest = &self.rest[1..];
            }
            let times = least + self.random.below(most - least + 1);
            text.extend((0..times).map(|_| atom.as_str()));
        }
        text
    }

    fn any(&mut self) -> char {
        char::from(b"abz0-._/Xk"[self.random.below(10) as usize])
    }

    fn class(&mut self) -> String {
        let end = self.rest.iter().skip(1).position(|&byte| byte == b']').unwrap_or(0) + 1;
        let (members, rest) = self.rest.split_at(end.min(self.rest.len()));
        self.rest = rest.get(1..).unwrap_or_default();
        match members.first() {
            Some(b'^') => "q".to_owned(),
            _ => {
                let one = self.random.below(members.len() as u64) as usize;
                char::from(members[one]).to_string()
            }
        }
    }
}
