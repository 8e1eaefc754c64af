//! Sweeps: what one override goes over, and the jobs that several make.
//!
//! The jobs are the product of the axes, the last axis running fastest. They are made one by one: a range over
//! millions takes no memory.

use indexmap::IndexMap;

use super::element::{Element, Span, is_escapable};
use super::range::{Number, Range, Steps};
use super::{Override, fnmatch, lexer};
use crate::config::problem::{Problem, Problems};

/// How many values of one axis are kept in memory to shuffle them.
pub const MAX_SHUFFLED: u64 = 1_000_000;

/// The values that an override goes over.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// What the values are.
    pub kind: SweepKind,
    /// What `tag(…)` marked it with, for searches that want to know; sorted.
    pub tags: Vec<String>,
    /// Whether the values come in random order.
    pub shuffle: bool,
    /// Where it stands in the argument.
    pub span: Span,
}

/// What a sweep goes over.
#[derive(Clone, Debug, PartialEq)]
pub enum SweepKind {
    /// `a,b` (simple) or `choice(a,b)`.
    Choice {
        /// The values.
        items: Vec<Element>,
        /// Written with commas only.
        simple: bool,
    },
    /// `range(…)`.
    Range(Range),
    /// `interval(start, end)`: all numbers between, for a search. It cannot be enumerated.
    Interval {
        /// The lower end, included.
        start: Number,
        /// The upper end, excluded.
        end: Number,
    },
    /// `glob(…)`: the options of the group that match.
    Glob {
        /// Patterns of which one must match.
        include: Vec<String>,
        /// Patterns of which none may match.
        exclude: Vec<String>,
    },
}

impl Sweep {
    /// A sweep without tags, in its own order.
    pub fn new(kind: SweepKind, span: Span) -> Self {
        Sweep { kind, tags: Vec::new(), shuffle: false, span }
    }

    /// The options that a glob picks, in the order given; `None` for the other kinds.
    pub fn pick(&self, options: &[String]) -> Option<Vec<String>> {
        let SweepKind::Glob { include, exclude } = &self.kind else { return None };
        let any = |patterns: &[String], name: &str| patterns.iter().any(|pattern| fnmatch::matches(pattern, name));
        Some(options.iter().filter(|name| any(include, name) && !any(exclude, name)).cloned().collect())
    }
}

/// Turns overrides into the jobs of a sweep.
///
/// `options` lists the options of a group, sorted; a glob picks among them. `seed` decides the order of what is
/// shuffled. The overrides of `hydra.sweeper.params` come first, then the command line's; a later override of the
/// same key replaces the value and keeps the place. Overrides of `hydra` itself are left out.
///
/// # Errors
/// A sweep over `hydra`'s own config, an interval, a value that cannot be spelt as an override, more jobs than can
/// be counted.
pub fn expand(overrides: &[Override], options: &dyn Fn(&str) -> Vec<String>, seed: u64) -> Result<Jobs, Problems> {
    let mut problems = Problems::default();
    let mut axes: IndexMap<String, Choices> = IndexMap::new();
    for (i, parsed) in overrides.iter().enumerate() {
        if parsed.is_hydra() {
            if parsed.is_sweep() {
                problems.push(
                    Problem::new(format!("`{}` sweeps over hydra's own config", parsed.source.text))
                        .from(&parsed.value_origin())
                        .width(parsed.value_span.width())
                        .label("one value goes here"),
                );
            }
            continue;
        }
        match Choices::new(parsed, options, seed.wrapping_add(i as u64)) {
            Ok(choices) => drop(axes.insert(parsed.key_text(), choices)),
            Err(problem) => problems.push(problem),
        }
    }
    let len = axes.values().try_fold(1u64, |product, axis| product.checked_mul(axis.len()));
    // An axis without values makes no jobs, whatever the others.
    let len = if axes.values().any(|axis| axis.len() == 0) { Some(0) } else { len };
    match len {
        Some(len) => problems.or(Jobs { axes, next: 0, len }),
        None => {
            problems.push(Problem::new("the sweep has more jobs than can be counted"));
            Err(problems)
        }
    }
}

/// The jobs of a sweep, each a list of overrides as Hydra spells them.
#[derive(Clone, Debug)]
pub struct Jobs {
    axes: IndexMap<String, Choices>,
    next: u64,
    len: u64,
}

impl Jobs {
    /// How many jobs the sweep has in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Job `index`, from 0; `None` behind the last one.
    pub fn get(&self, index: u64) -> Option<Vec<String>> {
        if index >= self.len {
            return None;
        }
        let mut rest = index;
        let mut job: Vec<String> = Vec::with_capacity(self.axes.len());
        for axis in self.axes.values().rev() {
            job.push(axis.get(rest % axis.len()));
            rest /= axis.len();
        }
        job.reverse();
        Some(job)
    }
}

impl Iterator for Jobs {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        let job = self.get(self.next)?;
        self.next += 1;
        Some(job)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.len - self.next).ok();
        (left.unwrap_or(usize::MAX), left)
    }
}

/// The overrides of one axis.
#[derive(Clone, Debug)]
enum Choices {
    /// Spelt out.
    Listed(Vec<String>),
    /// The key with `=`, and the numbers.
    Counted(String, Steps),
}

impl Choices {
    fn new(parsed: &Override, options: &dyn Fn(&str) -> Vec<String>, seed: u64) -> Result<Self, Problem> {
        let Some(sweep) = parsed.sweep() else {
            // Only a sweep has no spelling.
            let spelt = parsed.spell().unwrap_or_default();
            check_elements(parsed, parsed.element().map(std::slice::from_ref).unwrap_or_default())?;
            return Ok(Choices::Listed(vec![spelt]));
        };
        let key = format!("{}=", parsed.key_text());
        let mut listed: Vec<String> = match &sweep.kind {
            SweepKind::Choice { items, .. } => {
                check_elements(parsed, items)?;
                items.iter().map(|item| format!("{key}{}", item.spell())).collect()
            }
            SweepKind::Range(range) => {
                let steps = range.steps();
                if !sweep.shuffle {
                    return Ok(Choices::Counted(key, steps));
                }
                if steps.len() > MAX_SHUFFLED {
                    return Err(Problem::new(format!("only ranges of up to {MAX_SHUFFLED} numbers can be shuffled"))
                        .from(&sweep.span.origin(&parsed.source))
                        .width(sweep.span.width()));
                }
                (0..steps.len()).map(|i| format!("{key}{}", steps.get(i).spell())).collect()
            }
            SweepKind::Glob { .. } => {
                let picked = sweep.pick(&options(&parsed.key)).unwrap_or_default();
                picked.iter().map(|name| format!("{key}{name}")).collect()
            }
            SweepKind::Interval { .. } => {
                return Err(Problem::new("an interval cannot be enumerated")
                    .from(&sweep.span.origin(&parsed.source))
                    .width(sweep.span.width())
                    .label("a choice or a range goes here")
                    .help("intervals are for a search; write range(start, end, step) to try every value"));
            }
        };
        if sweep.shuffle {
            Shuffler::new(seed).shuffle(&mut listed);
        }
        Ok(Choices::Listed(listed))
    }

    fn len(&self) -> u64 {
        match self {
            Choices::Listed(listed) => listed.len() as u64,
            Choices::Counted(_, steps) => steps.len(),
        }
    }

    fn get(&self, i: u64) -> String {
        match self {
            Choices::Listed(listed) => listed[i as usize].clone(),
            Choices::Counted(key, steps) => format!("{key}{}", steps.get(i).spell()),
        }
    }
}

/// A job is spelt as overrides and read again. Functions take quotes off, and then some texts have no spelling:
/// Hydra's job fails to parse, ours is refused here with the way out.
fn check_elements(parsed: &Override, elements: &[Element]) -> Result<(), Problem> {
    for element in elements {
        let Some(c) = element.unquoted_texts().iter().find_map(|text| unspeakable(text)) else { continue };
        let job = format!("{}={}", parsed.key_text(), element.spell());
        if super::parse(&job, 1).is_err() {
            return Err(Problem::new(format!(
                "a job would be started with `{job}`, where `{}` needs quotes",
                c.escape_debug()
            ))
            .from(&element.span.origin(&parsed.source))
            .width(element.span.width())
            .label("this text has no quotes that a job could keep")
            .help("put quotes around the whole value, and leave functions out: key='first','second'"));
        }
    }
    Ok(())
}

/// The first character of an unquoted text that cannot stand in an override. An interpolation's characters are
/// free up to its brace, but spelling it escapes the braces, so it is a text like others.
fn unspeakable(text: &str) -> Option<char> {
    text.chars().find(|&c| !lexer::is_plain_char(c) && !is_escapable(c))
}

/// A small random number generator (SplitMix64; Steele, Lea and Flood, 2014) and the shuffle of Fisher and Yates.
pub struct Shuffler(u64);

impl Shuffler {
    /// The same seed gives the same order.
    pub fn new(seed: u64) -> Self {
        Shuffler(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            // The bias of the remainder is below 2^-40 for any list that fits into memory.
            items.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
    }
}
