//! What a running job says of itself: the metrics of each epoch, read from its `reports.jsonl` as they come.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;

use crate::run::REPORTS;

/// The metrics at one moment of a job.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Report {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The optimizer step.
    pub step: u64,
    /// The values; those that are no numbers are left out.
    #[serde(deserialize_with = "numbers")]
    pub values: IndexMap<String, f64>,
}

fn numbers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<IndexMap<String, f64>, D::Error> {
    let values = IndexMap::<String, serde_json::Value>::deserialize(deserializer)?;
    Ok(values.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect())
}

/// Follows one job's reports.
#[derive(Debug, Default)]
pub struct Follower {
    read: u64,
}

impl Follower {
    /// The reports that have come since the last call. A file that became shorter is that of a new attempt.
    pub fn poll(&mut self, folder: &Path) -> Vec<Report> {
        let Ok(mut file) = File::open(folder.join(REPORTS)) else { return Vec::new() };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length < self.read {
            self.read = 0;
        }
        let mut text = Vec::new();
        if length == self.read || file.seek(SeekFrom::Start(self.read)).is_err() || file.read_to_end(&mut text).is_err()
        {
            return Vec::new();
        }
        let Some(whole) = text.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        self.read += whole as u64 + 1;
        let text = String::from_utf8_lossy(&text[..whole]);
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// All reports of a job.
pub fn read_all(folder: &Path) -> Vec<Report> {
    Follower::default().poll(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(REPORTS);
        let line = |epoch| format!(r#"{{"epoch":{epoch},"step":3,"values":{{"val/loss":0.5,"x":"nan"}}}}"#);
        let mut follower = Follower::default();
        assert!(follower.poll(folder.path()).is_empty());
        let first = format!("{{\"other\":1}}\n{}\n{}", line(0), &line(1)[..20]);
        std::fs::write(&path, &first).unwrap();
        let reports = follower.poll(folder.path());
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].values, IndexMap::from([("val/loss".to_owned(), 0.5)]));
        std::fs::write(&path, format!("{first}{}\n", &line(1)[20..])).unwrap();
        assert_eq!(follower.poll(folder.path())[0].epoch, 1);
        assert!(follower.poll(folder.path()).is_empty());
    }
}
