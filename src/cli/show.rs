//! What needs no tensors: printing configs, help, the jobs of a sweep.

use serde_json::json;

use super::args::{Args, Format, Info, Part};
use super::command::{self, Command};
use super::commands;
use super::compose::Request;
use super::{diff, explain};
use crate::config::{Config, Key, KeyPath, Map, Node, Problem, Segment, Value, emit, json as json_text};
use crate::error::{Error, Result};

/// Answers a request that needs no tensors; `None` when it needs them.
pub fn answer(request: &Request) -> Result<Option<i32>> {
    let args = &request.args;
    if args.version {
        println!("runner {}", env!("CARGO_PKG_VERSION"));
    } else if args.hydra_help {
        print(&filled(request, "hydra.hydra_help.template")?);
    } else if args.help {
        print(&filled(request, "hydra.help.template")?);
    } else if let Some(part) = args.cfg {
        print(&show_config(request, part)?);
    } else if args.dry_run {
        print(&show_jobs(request)?);
    } else {
        match (args.info, request.command) {
            (Some(info), _) if info != Info::Plan => print(&show_info(request, info)?),
            (None, Command::Diff) => print(&diff::diff(&request.words)?),
            (None, Command::Runs) => print(&commands::runs::runs(request)?),
            (None, Command::Sync) => print(&commands::sync::sync(request)?),
            (None, Command::Report) => print(&commands::report::report(request)?),
            (None, Command::Best) => print(&super::best::best(request)?),
            (None, Command::Evaluate) => print(&super::evaluation::evaluate(request)?),
            (None, Command::Convert) => print(&super::kmers::convert(request)?),
            (None, Command::Explain) => print(&explain::explain(request)?),
            (None, Command::Completion) => print(&super::completion::script(&request.words[0])?),
            _ => return Ok(None),
        }
    }
    Ok(Some(0))
}

/// Prints a text; a reader that has seen enough (`| head`) is no error.
fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
}

fn spelled(node: &Node, format: Format) -> String {
    match (format, &node.value) {
        (Format::Json, _) => json_text::pretty(node),
        (Format::Yaml, Value::Map(_) | Value::List(_)) => emit::to_yaml(node),
        (Format::Yaml, _) => crate::config::text::py_str(node),
    }
}

fn show_config(request: &Request, part: Part) -> Result<String> {
    let composed = if request.args.multirun {
        return show_part(request, &request.jobs()?.0, part);
    } else {
        request.compose()?
    };
    show_part(request, composed.config(), part)
}

fn show_part(request: &Request, config: &Config, part: Part) -> Result<String> {
    let resolve = request.args.resolve;
    let job = if resolve && part != Part::Hydra { config.resolved()? } else { config.job.clone() };
    let hydra = || Ok::<_, Error>(if resolve { config.resolved_hydra()? } else { config.hydra.clone() });
    let node = match part {
        Part::Job => job,
        Part::Hydra => Node::program([(Key::from("hydra"), hydra()?)].into_iter().collect::<Map>()),
        Part::All => {
            let own = [(Key::from("hydra"), hydra()?)].into_iter();
            let rest = job.as_map().cloned().unwrap_or_default();
            Node::program(own.chain(rest).collect::<Map>())
        }
    };
    let Some(package) = &request.args.package else { return Ok(spelled(&node, request.args.format)) };
    let path = KeyPath(package.split('.').map(|part| Segment::Key(part.into())).collect());
    let found = node.select(package).ok_or_else(|| {
        let names = node.as_map().into_iter().flatten().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
        Problem::new(format!("--package: the config has no `{package}`"))
            .at(path)
            .help(format!("it has {}", names.join(", ")))
    })?;
    let text = spelled(found, request.args.format);
    Ok(if request.args.format == Format::Yaml { format!("# @package {package}\n{text}") } else { text })
}

/// The jobs of a sweep; each is composed, so that a bad one is found.
fn show_jobs(request: &Request) -> Result<String> {
    if !request.is_multirun()? {
        return Err(Error::request("--dry-run shows the jobs of a sweep").help("add -m, or use --cfg job for one run"));
    }
    let (parent, jobs) = request.jobs()?;
    for (number, job) in jobs.iter().enumerate() {
        request.job(&parent, job, number, None, None).compose()?;
    }
    Ok(match request.args.format {
        Format::Json => {
            let jobs: Vec<_> = jobs.iter().map(|overrides| json!({ "overrides": overrides })).collect();
            serde_json::to_string_pretty(&jobs).unwrap_or_default()
        }
        Format::Yaml => {
            let lines = jobs.iter().enumerate().map(|(number, job)| format!("#{number} : {}", job.join(" ")));
            lines.collect::<Vec<_>>().join("\n")
        }
    })
}

/// One of Hydra's help templates with its fields filled in.
fn filled(request: &Request, template: &str) -> Result<String> {
    // Help must come even when the overrides make no sense.
    let composed = request.compose().or_else(|_| request.bare()?.compose())?;
    let config = composed.config();
    let text = config.value(template)?.and_then(|node| node.as_str().map(str::to_owned)).unwrap_or_default();
    let groups = |hydra: bool| {
        let names = config.sources.groups();
        let lines = names
            .iter()
            .filter(|group| group.starts_with("hydra/") == hydra && *group != "hydra")
            .map(|group| format!("{group}: {}", config.sources.options(group).join(", ")));
        lines.filter(|line| !line.ends_with(": ")).collect::<Vec<_>>().join("\n")
    };
    let commands = command::all(&request.additions().commands).map(|spelling| {
        let usage = format!("runner {} {}", spelling.name, spelling.words.join(" "));
        format!("{usage:28} {}", spelling.does)
    });
    let commands = commands.collect::<Vec<_>>().join("\n");
    let fields = [
        ("$FLAGS_HELP", Args::flags_help()),
        ("$HYDRA_CONFIG_GROUPS", groups(true)),
        ("$APP_CONFIG_GROUPS", groups(false)),
        ("$COMMANDS", commands),
        ("$CONFIG", emit::to_yaml(composed.job())),
    ];
    Ok(fields.iter().fold(text, |text, (name, value)| text.replace(name, value)))
}

fn show_info(request: &Request, info: Info) -> Result<String> {
    let composed = request.compose()?;
    let config = composed.config();
    let mut out = Vec::new();
    let mut section = |title: &str, wanted: &[Info], text: String| {
        if wanted.contains(&info) || info == Info::All {
            out.push(if info == Info::All { format!("{title}\n{}\n{text}\n", "-".repeat(title.len())) } else { text });
        }
    };
    let places = config
        .sources
        .places()
        .iter()
        .map(|place| format!("{:24} {}://{}", place.provider, place.scheme(), place.path()));
    section("Search path", &[Info::Searchpath], places.collect::<Vec<_>>().join("\n"));
    let layers = config.layers().iter().map(|layer| {
        let parent = layer.parent.as_deref().unwrap_or("-");
        format!(
            "{:40} {:24} {parent}",
            layer.config,
            if layer.package.is_empty() { "_global_" } else { &layer.package }
        )
    });
    let head = format!("{:40} {:24} listed by", "config", "package");
    section("Defaults list", &[Info::Defaults], std::iter::once(head).chain(layers).collect::<Vec<_>>().join("\n"));
    section(
        "Defaults tree",
        &[Info::DefaultsTree],
        config
            .tree()
            .iter()
            .map(|entry| format!("{}{}", "  ".repeat(entry.depth), entry.text))
            .collect::<Vec<_>>()
            .join("\n"),
    );
    section("Config", &[Info::Config], emit::to_yaml(composed.job()));
    Ok(out.join("\n"))
}
