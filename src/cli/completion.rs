//! Tab completion of commands, groups, options, keys and values. The shell's script asks `runner --complete WORDS…`.

use super::args::Args;
use super::command;
use super::compose::Request;
use crate::config::{Config, Node, Value};
use crate::error::{Error, Result};
use crate::registry::Additions;

const BASH: &str = r#"_runner() {
    # An override is one word: `=` and `:` do not break it.
    local word="${COMP_LINE:0:COMP_POINT}"
    word="${word##* }"
    local IFS=$'\n'
    COMPREPLY=($(runner --complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$word" 2>/dev/null))
    # Readline replaces only what follows the last breaking character.
    local head="${word%"${word##*[=:]}"}"
    [ -n "$head" ] && COMPREPLY=("${COMPREPLY[@]#"$head"}")
    [[ ${#COMPREPLY[@]} -eq 1 && ( "${COMPREPLY[0]}" == *= || "${COMPREPLY[0]}" == *. ) ]] && compopt -o nospace
    [[ ${#COMPREPLY[@]} -gt 1 ]] && compopt -o nospace
}
complete -F _runner runner
"#;

const ZSH: &str = r#"#compdef runner
_runner() {
    local -a found
    found=("${(@f)$(runner --complete "${words[@]:1:$((CURRENT-2))}" "${words[CURRENT]}" 2>/dev/null)}")
    local -a open closed
    open=(${(M)found:#*[=.]})
    closed=(${found:#*[=.]})
    (( ${#open} )) && compadd -S '' -- $open
    (( ${#closed} )) && compadd -- $closed
}
compdef _runner runner
"#;

const FISH: &str = r#"function __runner_complete
    set -l words (commandline -opc)
    runner --complete $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c runner -f -a '(__runner_complete)'
"#;

/// The script for a shell.
pub fn script(shell: &str) -> Result<String> {
    match shell {
        "bash" => Ok(BASH.into()),
        "zsh" => Ok(ZSH.into()),
        "fish" => Ok(FISH.into()),
        _ => Err(Error::request(format!("there is no completion for `{shell}`"))
            .help("bash, zsh or fish; for bash: source <(runner completion bash)")),
    }
}

/// What the last of `words` can become.
pub fn candidates(words: &[String], additions: &Additions) -> Vec<String> {
    let Some((current, before)) = words.split_last() else { return Vec::new() };
    let mut found = Vec::new();
    if before.iter().all(|word| word.starts_with('-')) && !current.contains(['=', '.', '-']) {
        found.extend(command::all(&additions.commands).map(|spelling| spelling.name.to_owned()));
    }
    if current.starts_with('-') {
        return flags().into_iter().filter(|flag| flag.starts_with(current.as_str())).collect();
    }
    // What stands before may not be complete or right yet: complete as if it were not there then.
    let composed =
        Args::read(before.iter().cloned()).ok().and_then(|args| Request::new(args, additions).ok()?.compose().ok());
    let composed = composed.or_else(|| Request::new(Args::read([]).ok()?, additions).ok()?.compose().ok());
    if let Some(composed) = composed {
        of_config(composed.config(), current, &mut found);
    }
    found.retain(|candidate| candidate.starts_with(current.as_str()));
    found.sort();
    found.dedup();
    found
}

fn flags() -> Vec<String> {
    use clap::CommandFactory;
    let command = Args::command();
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    shown.filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
}

fn of_config(config: &Config, current: &str, found: &mut Vec<String>) {
    let sign = &current[..current.len() - current.trim_start_matches(['+', '~']).len()];
    let typed = &current[sign.len()..];
    match typed.split_once('=') {
        Some((key, value)) => {
            // In a list of several values only the last is being typed.
            let head = value.rfind([',', '[']).map_or("", |at| &value[..=at]);
            let values = values_of(config, key);
            found.extend(values.into_iter().map(|value| format!("{sign}{key}={head}{value}")));
        }
        None => {
            found.extend(config.sources.groups().into_iter().map(|group| format!("{sign}{group}=")));
            let (parent, _) = typed.rsplit_once('.').unwrap_or(("", typed));
            let node = if parent == "hydra" || parent.starts_with("hydra.") {
                config.hydra.select(parent.trim_start_matches("hydra").trim_start_matches('.'))
            } else {
                config.job.select(parent)
            };
            let dot = if parent.is_empty() { "" } else { "." };
            for (name, child) in children(node) {
                let ending = match child.value {
                    Value::Map(_) | Value::List(_) => ".",
                    _ => "=",
                };
                found.push(format!("{sign}{parent}{dot}{name}{ending}"));
            }
        }
    }
}

fn children(node: Option<&Node>) -> Vec<(String, &Node)> {
    match node.map(|node| &node.value) {
        Some(Value::Map(map)) => map.iter().map(|(key, node)| (key.to_string(), node)).collect(),
        Some(Value::List(list)) => list.iter().enumerate().map(|(i, node)| (i.to_string(), node)).collect(),
        _ => Vec::new(),
    }
}

fn values_of(config: &Config, key: &str) -> Vec<String> {
    let group = key.split('@').next().unwrap_or(key);
    let options = config.sources.options(group);
    if !options.is_empty() {
        return options;
    }
    match config.job.select(key).map(|node| &node.value) {
        Some(Value::Bool(_)) => vec!["true".into(), "false".into()],
        Some(Value::Map(_) | Value::List(_)) | None => Vec::new(),
        Some(_) => config.job.select(key).map(crate::config::text::py_str).into_iter().collect(),
    }
}
