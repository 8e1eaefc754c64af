//! Damaged configs and command lines: whatever the bytes, the answer is a value or a problem, never a panic, a hang
//! or unbounded memory.
//!
//! The inputs are those of the parity corpus, mutated by a generator with a fixed seed, so that a run can be
//! repeated. `FUZZ_ITERATIONS` and `FUZZ_SEED` make a longer or another run:
//!
//! ```text
//! FUZZ_ITERATIONS=5000000 FUZZ_SEED=7 cargo test --release --test config_fuzz
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use runner::config::overrides::{self, Override, sweep};
use runner::config::{
    Composer, Facts, Key, Map, Node, Place, Resolvers, Source, SourceKind, Sources, emit, json, text, yaml,
};

/// Characters and words that mean something in one of the languages.
const PIECES: &[&str] = &[
    "=",
    "+",
    "~",
    "@",
    "/",
    ".",
    ",",
    ":",
    "'",
    "\"",
    "\\",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "$",
    "${",
    "${.",
    "?",
    "*",
    "&",
    "!",
    "|",
    ">",
    "-",
    "#",
    "%",
    "<<",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\0",
    "é",
    "日",
    "\u{feff}",
    "\u{2028}",
    "null",
    "true",
    "inf",
    "nan",
    "1e999",
    "-1",
    "0x",
    "1_0",
    "9223372036854775808",
    "???",
    "_self_",
    "_here_",
    "_global_",
    "_group_",
    "override ",
    "optional ",
    "defaults",
    "# @package ",
    "../",
    "choice(",
    "range(",
    "interval(",
    "glob(",
    "sort(",
    "shuffle(",
    "tag(",
    "int(",
    "str(",
    "json_str(",
    "extend_list(",
    "oc.env:",
    "oc.select:",
    "oc.decode:",
    "oc.create:",
    "oc.dict.keys:",
    "eval:",
    "hydra:",
    "now:",
    "- ",
    ": ",
    "\n  ",
    "\n- ",
    "---\n",
    "&a ",
    "*a",
    "!!str ",
    "\\u",
    "[[[[[[[[",
    "{{{{{{{{",
    "((((((((",
    "${${${${",
];

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn new(target: &str) -> Self {
        let seed = std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1u64);
        Random(target.bytes().fold(seed, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// One of the seeds with a few changes.
    fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.pick(seeds).clone();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(12)).min(bytes.len());
            match self.below(6) {
                0 | 1 => drop(bytes.splice(at..at, self.pick(PIECES).bytes())),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let copy = bytes[at..end].repeat(1 + self.below(20));
                    bytes.splice(at..at, copy);
                }
                4 => {
                    let other = self.pick(seeds);
                    let from = self.below(other.len() + 1);
                    let to = (from + self.below(40)).min(other.len());
                    bytes.splice(at..end, other[from..to].iter().copied());
                }
                _ if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => bytes.push(self.below(256) as u8),
            }
        }
        bytes.truncate(4000);
        bytes
    }
}

/// How many inputs a target gets; `share` is the default.
fn iterations(share: usize) -> usize {
    std::env::var("FUZZ_ITERATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(share)
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

fn cases() -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(corpus().join("cases.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn words(case: &serde_json::Value) -> Vec<String> {
    case["overrides"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn override_seeds() -> Vec<Vec<u8>> {
    cases().iter().flat_map(words).map(String::into_bytes).collect()
}

/// The config files of a folder, by their paths below it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name();
    let entries = walk.into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let read = |path: &Path| (path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(path).unwrap());
    entries.map(|entry| read(entry.path())).collect()
}

fn source(text: String) -> Arc<Source> {
    Arc::new(Source { kind: SourceKind::File("fuzz.yaml".into()), text })
}

/// What is spelt reads back and is spelt the same.
fn check_override(parsed: &Override) {
    drop(parsed.to_node());
    if let (Some(spelt), Some(_)) = (parsed.spell(), parsed.element())
        && let Ok(again) = overrides::parse(&spelt, 1)
        && again.element() == parsed.element()
    {
        assert_eq!(again.spell(), Some(spelt));
    }
    if let Ok(jobs) = sweep::expand(std::slice::from_ref(parsed), &|_| vec!["a".into(), "b.c".into()], 1) {
        for job in jobs.take(20) {
            let job = job.first().map(String::as_str).unwrap_or_default();
            let again = overrides::parse(job, 1);
            // An option's name comes from a file and may be anything; a hydra override makes an empty job.
            assert!(again.is_ok() || job.is_empty() || parsed.sweep().is_some_and(|s| s.pick(&[]).is_some()), "{job}");
        }
    }
}

#[test]
fn overrides_never_panic() {
    let (mut random, seeds) = (Random::new("overrides"), override_seeds());
    let mut parsed = 0;
    for i in 0..iterations(30_000) {
        let argument = String::from_utf8_lossy(&random.mutate(&seeds)).into_owned();
        match overrides::parse(&argument, i) {
            Ok(result) => {
                parsed += 1;
                check_override(&result);
            }
            Err(problem) => {
                let column = problem.origin.as_ref().map_or(0, |origin| origin.column as usize);
                assert!((1..=argument.chars().count() + 1).contains(&column), "{argument:?}: {problem}");
            }
        }
    }
    assert!(parsed > 0, "no input was an override");
}

#[test]
fn yaml_never_panics_and_what_is_read_is_written_and_read_again() {
    let mut random = Random::new("yaml");
    let seeds: Vec<Vec<u8>> = files(&corpus().join("trees")).into_iter().map(|(_, bytes)| bytes).collect();
    let mut read = 0;
    for _ in 0..iterations(8_000) {
        let bytes = random.mutate(&seeds);
        let Ok(source_read) = yaml::decode(SourceKind::File("fuzz.yaml".into()), bytes) else { continue };
        match yaml::parse(source_read.clone()) {
            Ok(node) => {
                read += 1;
                let written = emit::to_yaml(&node);
                let again =
                    yaml::parse(source(written.clone())).unwrap_or_else(|problems| panic!("{written}\n{problems}"));
                assert_eq!(again, node, "{written}");
                drop((json::compact(&node), json::pretty(&node), text::py_repr(&node)));
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                for problem in &problems.0 {
                    assert!(problem.origin.as_ref().is_some_and(|origin| origin.line > 0), "{problem}");
                }
            }
        }
    }
    assert!(read > 0, "no input was YAML");
}

#[test]
fn interpolations_never_panic() {
    let mut random = Random::new("interpolations");
    let mut seeds = Vec::new();
    for (_, bytes) in files(&corpus().join("trees")) {
        let text = String::from_utf8(bytes).unwrap();
        seeds.extend(text.lines().filter_map(|line| Some(line.as_bytes()[line.find("${")?..].to_vec())));
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.yaml"), "a: 1\nb: {c: [1, x, {d: 2.5}], e: null}\ns: text\n").unwrap();
    let places = [Place::folder("main", folder.path())];
    let resolvers = Resolvers::new().with_variable("A", "1");
    let composer = Composer::new(Sources::new(places), Facts::default()).with_resolvers(resolvers);
    let base = composer.compose(Some("main"), &[]).unwrap();
    let mut resolved = 0;
    for _ in 0..iterations(5_000) {
        let text = String::from_utf8_lossy(&random.mutate(&seeds)).into_owned();
        let mut config = base.clone();
        let map = config.job.as_map_mut().unwrap();
        map.insert(Key::from("v"), Node::program(text.as_str()));
        map.insert(Key::from("w"), Node::program(Map::from_iter([(Key::from("x"), Node::program(text))])));
        resolved += usize::from(config.resolved().is_ok());
    }
    assert!(resolved > 0, "no input was an interpolation");
}

#[test]
fn composition_never_panics() {
    let mut random = Random::new("composition");
    let cases = cases();
    let argument_seeds = override_seeds();
    let mut composed = 0;
    for _ in 0..iterations(300) {
        let case = random.pick(&cases);
        let tree = files(&corpus().join("trees").join(case["tree"].as_str().unwrap()));
        let seeds: Vec<Vec<u8>> = tree.iter().map(|(_, bytes)| bytes.clone()).collect();
        let damaged = random.below(tree.len());
        let folder = tempfile::tempdir().unwrap();
        for (i, (path, bytes)) in tree.iter().enumerate() {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes = if i == damaged { random.mutate(&seeds) } else { bytes.clone() };
            std::fs::write(path, bytes).unwrap();
        }
        let mut arguments = words(case);
        if random.below(3) == 0 {
            arguments.push(String::from_utf8_lossy(&random.mutate(&argument_seeds)).into_owned());
        }
        let sources = Sources::new([Place::folder("main", folder.path()), Place::shipped()]);
        let composer = Composer::new(sources, Facts::default()).with_resolvers(Resolvers::new());
        let Ok(overrides) = overrides::parse_all(&arguments) else { continue };
        let name = case["config_name"].as_str();
        if let Ok(config) = composer.compose(name, &overrides) {
            composed += usize::from(config.resolved().is_ok());
            drop((config.all(), config.resolved_hydra()));
        }
        if let Ok(parent) = composer.compose_parent(name, &overrides)
            && let Ok(swept) = parent.sweep_arguments()
            && let Ok(axes) = overrides::parse_all(&swept)
            && let Ok(jobs) = sweep::expand(&axes, &|group| parent.sources.options(group), 0)
        {
            for (i, job) in jobs.take(5).enumerate() {
                drop(composer.compose_job(name, &parent, &job, &composer.facts().of_job(i, None)));
            }
        }
    }
    assert!(composed > 0, "no input was a config");
}
