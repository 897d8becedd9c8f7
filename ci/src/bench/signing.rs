//! Signatures in registries on loopback: treelay against both cosigns.
//!
//! treelay is given more to do: cosign verifies one form of one manifest; treelay verifies both
//! forms of the index and of every image in it. cosign signs one manifest in one form.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use treelay_ci::tools::Kept;

use super::Bench;
use super::row::{Row, time};
use super::treelay::Treelay;
use super::usage::{Runs, Usage, alternate};
use crate::run::capture;
use crate::setup;

/// How long a registry may take until it answers.
const READY: Duration = Duration::from_secs(30);

/// The password of the key. Deriving a key from it takes most of the time of signing, on all sides.
const PASSWORD: (&str, &str) = ("COSIGN_PASSWORD", "bench");

/// No log and no service: the signature by the key alone.
const VERIFY: [&str; 3] = ["--key=key.pub", "--insecure-ignore-tlog", "--allow-http-registry"];
const SIGN: [&str; 4] = ["--yes", "--key=key.key", "--tlog-upload=false", "--allow-http-registry"];

/// `cosign verify` of one image of one platform.
pub fn verify(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for kind in [Kind::WithoutReferrers, Kind::WithReferrers] {
        let place = Place::new(bench, kind, "amd64")?;
        let image = place.publish("signed")?;
        capture(&mut place.sign(&image))?;
        let [ours, second, third] = alternate(
            bench.rounds(25),
            [
                ("treelay", &mut |_| {
                    let mut command = place.treelay("verify", &image);
                    command.args(["--key=key.pub", "--require-form=both"]);
                    bench.timed(&[command])
                }),
                ("cosign 2", &mut |_| bench.timed(&[place.cosign_verify(Kept::Cosign2, &image)?])),
                ("cosign 3", &mut |_| bench.timed(&[place.cosign_verify(Kept::Cosign3, &image)?])),
            ],
        )?;
        place.finish()?;
        let work = format!("verify one signed image, registry {}", kind.words());
        for (cosign, theirs) in [("cosign 2", &second), ("cosign 3", &third)] {
            rows.push(Row::faster(&work, &ours, cosign, theirs, 2.0));
            rows.push(cpu(&work, &ours, cosign, theirs, 0.5));
        }
    }
    Ok(rows)
}

/// `cosign sign` of one manifest against treelay's of three images and their index, in both forms.
pub fn sign(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for kind in [Kind::WithoutReferrers, Kind::WithReferrers] {
        let place = Place::new(bench, kind, "amd64, arm64, ppc64le")?;
        let image = |side: &str, round: usize| place.publish(&format!("{side}{round}"));
        let [ours, again, second, third] = alternate(
            bench.rounds(9),
            [
                ("treelay", &mut |round| bench.timed(&[place.sign(&image("t", round)?)])),
                ("treelay again", &mut |round| bench.timed(&[place.sign(&image("t", round)?)])),
                ("cosign 2", &mut |round| {
                    bench.timed(&[place.cosign_sign(Kept::Cosign2, &image("c2-", round)?)?])
                }),
                ("cosign 3", &mut |round| {
                    bench.timed(&[place.cosign_sign(Kept::Cosign3, &image("c3-", round)?)?])
                }),
            ],
        )?;
        place.finish()?;
        let work = format!("sign a three-arch index in both forms, registry {}", kind.words());
        for (cosign, theirs) in [("cosign 2", &second), ("cosign 3", &third)] {
            rows.push(wall(&work, &ours, &format!("{cosign}, one manifest"), theirs, 5.0));
        }
        rows.push(Row::told(&format!("{work}, again: nothing changes"), &again));
    }
    Ok(rows)
}

fn wall(work: &str, ours: &Runs, rival: &str, theirs: &Runs, goal: f64) -> Row {
    let (ours, theirs) = (ours.median(), theirs.median().wall);
    let rival = format!("{rival} {}", time(theirs));
    Row::at_most(work, (&time(ours.wall), ours.wall), (&rival, theirs), goal).of(ours)
}

/// The same by processor time, which is less in doubt where the machine has other work.
fn cpu(work: &str, ours: &Runs, rival: &str, theirs: &Runs, goal: f64) -> Row {
    let used = |run: Usage| run.user + run.system;
    let (ours, theirs) = (used(ours.median()), used(theirs.median()));
    let rival = format!("{rival} {}", time(theirs));
    Row::at_most(&format!("CPU: {work}"), (&time(ours), ours), (&rival, theirs), goal)
}

#[derive(Clone, Copy)]
enum Kind {
    /// docker-registry, where what refers to an image is found by a tag.
    WithoutReferrers,
    /// ferro-oci-server.
    WithReferrers,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::WithoutReferrers => "without referrers",
            Self::WithReferrers => "with referrers",
        }
    }
}

/// A registry, a small recipe and a key.
struct Place<'a> {
    treelay: Treelay<'a>,
    registry: Registry,
}

impl<'a> Place<'a> {
    fn new(bench: &'a Bench, kind: Kind, arches: &str) -> Result<Self> {
        let recipe = format!(
            "name: signed\nversion: \"1\"\narch: [{arches}]\nepoch: 1700000000\nlayers:\n  \
             - name: words\n    files:\n      - {{path: /usr/share/words, content: \"fox\\n\"}}\n"
        );
        let treelay = bench.treelay("signed", &recipe)?;
        let mut generate = treelay.bare();
        generate.args(["key", "generate", "--out", "key"]).env(PASSWORD.0, PASSWORD.1);
        capture(&mut generate)?;
        let registry = Registry::start(kind, &treelay.path("registry"))?;
        Ok(Self { treelay, registry })
    }

    /// The image under that tag, not signed where it is new.
    fn publish(&self, tag: &str) -> Result<String> {
        // A repository of its own: signatures are found by digests.
        let image = format!("{}/{tag}/signed:1", self.registry.address);
        capture(&mut self.treelay.build(&["-o", &format!("docker://{image}")]))?;
        Ok(image)
    }

    fn treelay(&self, verb: &str, image: &str) -> Command {
        let mut command = self.treelay.command(verb);
        command.arg(format!("docker://{image}")).env(PASSWORD.0, PASSWORD.1);
        command
    }

    fn sign(&self, image: &str) -> Command {
        let mut command = self.treelay("sign", image);
        command.arg("--key=key.key");
        command
    }

    fn cosign(&self, cosign: Kept, args: &[&str], image: &str) -> Result<Command> {
        let mut command = Command::new(setup::one(cosign)?);
        command.args(args).arg(image).current_dir(self.treelay.path(""));
        // Its cache of trusted roots, which are not used.
        command.env(PASSWORD.0, PASSWORD.1).env("HOME", self.treelay.path(""));
        Ok(command)
    }

    fn cosign_verify(&self, cosign: Kept, image: &str) -> Result<Command> {
        self.cosign(cosign, &[&["verify"], &VERIFY[..]].concat(), image)
    }

    fn cosign_sign(&self, cosign: Kept, image: &str) -> Result<Command> {
        let local: &[&str] = match cosign {
            Kept::Cosign3 => &["--use-signing-config=false"],
            _ => &[],
        };
        self.cosign(cosign, &[&["sign"], &SIGN[..], local].concat(), image)
    }

    fn finish(self) -> Result<()> {
        drop(self.registry);
        self.treelay.finish()
    }
}

/// A running registry; stopped when dropped.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn start(kind: Kind, folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let mut command = match kind {
            Kind::WithoutReferrers => docker(&address, folder)?,
            Kind::WithReferrers => {
                let mut command = Command::new(setup::one(Kept::Ferro)?);
                // Unset, it would listen on all interfaces.
                command.env("FERRO_OCI_LISTEN", &address).env("FERRO_OCI_STORAGE_DIR", folder);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("starting a registry")?;
        let mut registry = Self { child, address };
        let start = Instant::now();
        while start.elapsed() < READY {
            if let Some(status) = registry.child.try_wait()? {
                bail!("the registry on {} ended ({status})", registry.address);
            }
            if TcpStream::connect(&registry.address).is_ok() {
                return Ok(registry);
            }
            sleep(Duration::from_millis(20));
        }
        bail!("the registry on {} does not answer", registry.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn docker(address: &str, folder: &Path) -> Result<Command> {
    let config: PathBuf = folder.with_extension("yml");
    let text = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage:\n  \
         filesystem: {{rootdirectory: '{}'}}\nhttp: {{addr: '{address}'}}\n",
        folder.display()
    );
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&config, text))
        .with_context(|| format!("writing {}", config.display()))?;
    let mut command = Command::new(setup::one(Kept::DockerRegistry)?);
    command.arg("serve").arg(config);
    Ok(command)
}

/// A port that nobody listens on now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr().context("finding a free port")?.port())
}
