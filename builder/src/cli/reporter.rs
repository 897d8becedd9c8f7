//! How long work is told of: bars on a terminal, plain lines without one, nothing when quiet.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plain::plain_lines;
use crate::exec::Observer;
use crate::progress::{Item, Outcome, Progress};

/// Tells on standard error.
pub struct Reporter {
    manner: Manner,
    bars: MultiProgress,
    running: Mutex<HashMap<String, Running>>,
}

struct Running {
    bar: ProgressBar,
    since: Instant,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Quiet,
    Lines,
    Bars,
}

/// Work that is over sooner is not worth a line in a log.
const WORTH_A_LINE: f32 = 0.5;

impl Reporter {
    /// A reporter for a terminal, or not.
    pub fn new(quiet: bool, terminal: bool) -> Self {
        let manner = match (quiet, terminal) {
            (true, _) => Manner::Quiet,
            (false, true) => Manner::Bars,
            (false, false) => Manner::Lines,
        };
        let target = match manner {
            Manner::Bars => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        let bars = MultiProgress::with_draw_target(target);
        Self { manner, bars, running: Mutex::default() }
    }

    /// A line for people, unless quiet.
    pub fn say(&self, text: &str) {
        // Much of it is of others: names of files, answers of servers.
        let text = plain_lines(text);
        match self.manner {
            Manner::Quiet => {}
            // A standard error that is gone takes no more lines; nothing else can be done.
            Manner::Lines => drop(writeln!(std::io::stderr(), "{text}")),
            Manner::Bars => drop(self.bars.println(text)),
        }
    }

    fn start(&self, what: &str, size: Option<u64>) {
        if self.manner == Manner::Quiet {
            return;
        }
        let bar = match size {
            Some(size) => ProgressBar::new(size).with_style(style(
                "{spinner} {msg:40!} {bytes:>10} of {total_bytes:>10}  {binary_bytes_per_sec}",
            )),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {msg:40!} {elapsed}")),
        };
        let bar = self.bars.add(bar.with_message(what.to_owned()));
        let running = Running { bar, since: Instant::now(), bytes: 0 };
        self.lock().insert(what.to_owned(), running);
    }

    fn stop(&self, what: &str, how: &str) {
        let Some(done) = self.lock().remove(what) else { return };
        done.bar.finish_and_clear();
        self.bars.remove(&done.bar);
        let seconds = done.since.elapsed().as_secs_f32();
        if self.manner == Manner::Lines && seconds < WORTH_A_LINE {
            return;
        }
        let bytes = match done.bytes {
            0 => String::new(),
            bytes => format!(", {}", indicatif::HumanBytes(bytes)),
        };
        self.say(&format!("{what}: {how}{bytes}, {seconds:.1} s"));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn style(template: &str) -> ProgressStyle {
    // A template that indicatif refuses would only cost the bar its looks.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Observer for Reporter {
    fn begin(&self, what: &str) {
        self.start(what, None);
    }

    fn advance(&self, what: &str, bytes: u64, size: Option<u64>) {
        if let Some(running) = self.lock().get_mut(what) {
            running.bytes = bytes;
            if let Some(size) = size
                && running.bar.length().is_none()
            {
                running.bar.set_length(size);
                running.bar.set_style(style(
                    "{spinner} {msg:40!} {bytes:>10} of {total_bytes:>10}  {binary_bytes_per_sec}",
                ));
            }
            running.bar.set_position(bytes);
        }
    }

    fn end(&self, what: &str) {
        self.stop(what, "done");
    }

    fn note(&self, text: &str) {
        self.say(text);
    }
}

impl Progress for Reporter {
    fn at(&self, item: &Item, done: u64) {
        let started = self.lock().contains_key(&item.name);
        if !started {
            self.start(&item.name, Some(item.size));
        }
        Observer::advance(self, &item.name, done, Some(item.size));
    }

    fn finished(&self, item: &Item, outcome: Outcome) {
        let how = match outcome {
            Outcome::Moved => "written",
            Outcome::Reused => "there already",
            Outcome::Mounted => "mounted from another repository",
        };
        self.stop(&item.name, how);
    }
}
