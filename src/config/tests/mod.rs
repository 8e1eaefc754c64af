//! Whole compositions over small trees: what a user does, what is refused and in which words, and that nothing a
//! config says makes the program panic, hang or fill the memory.

mod explaining;
mod messages;
mod resolving;
mod robust;

use std::fs;

use super::{Composer, Config, Facts, Node, Place, Problems, Resolvers, Sources, json, overrides};

/// A config folder that is removed at the end.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        Tree(folder)
    }

    fn composer(&self) -> Composer {
        self.composer_with(Resolvers::new())
    }

    fn composer_with(&self, resolvers: Resolvers) -> Composer {
        let sources = Sources::new([Place::folder("main", self.0.path())]);
        Composer::new(sources, Facts::default()).with_resolvers(resolvers)
    }

    fn compose(&self, arguments: &[&str]) -> Result<Config, Problems> {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        self.composer().compose(Some("config"), &overrides::parse_all(&arguments)?)
    }

    fn resolved(&self, arguments: &[&str]) -> Result<Node, Problems> {
        self.compose(arguments)?.resolved()
    }

    fn json(&self, arguments: &[&str]) -> String {
        match self.resolved(arguments) {
            Ok(node) => json::compact(&node),
            Err(problems) => panic!("{arguments:?}: {problems}"),
        }
    }

    /// The problems of a composition, with the folder's name left out.
    fn problems(&self, arguments: &[&str]) -> String {
        match self.resolved(arguments) {
            Ok(node) => panic!("{arguments:?} should fail, gave {}", json::compact(&node)),
            Err(problems) => problems.to_string().replace(&format!("{}/", self.0.path().display()), ""),
        }
    }
}
