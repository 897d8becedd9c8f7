//! The test tiers, each including what the ones before it need.

use std::fmt;
use std::str::FromStr;

/// How far from the code a test is, and so what must be installed to run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Unit, contract and command-line tests: a compiler and the libraries to build with.
    Fast,
    /// The consumers of Debian 12, cosign, and both registries.
    Real,
    /// The consumers of Debian 13, in a root of their own, and what hosts read images with.
    Host,
    /// What takes minutes: an OSTree built with more signature schemes, an emulated machine that boots.
    Slow,
}

impl Tier {
    /// Every tier, nearest first.
    pub const ALL: [Self; 4] = [Self::Fast, Self::Real, Self::Host, Self::Slow];

    /// What the tests run when nothing is asked for: all but the slow tier.
    pub const DEFAULT: [Self; 3] = [Self::Fast, Self::Real, Self::Host];

    /// The name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Real => "real",
            Self::Host => "host",
            Self::Slow => "slow",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.name() == text)
            .ok_or_else(|| format!("unknown tier {text:?}: expected fast, real, host or slow"))
    }
}
