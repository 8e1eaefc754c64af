//! The table that varKoder's `query` command writes of the pictures it has seen.

use crate::train::Rows;

/// What the table says about the model, and what it is to hold.
pub struct Query {
    /// The checkpoint.
    pub checkpoint: String,
    /// From which probability on a label is predicted; `None`: each picture has one label.
    pub threshold: Option<String>,
    /// Whether there is a column for every label's probability.
    pub include_probs: bool,
}

/// What is known of a picture, and the columns of the data that say so.
const KNOWN: [(&str, &str); 7] = [
    ("sample_id", "sample"),
    ("query_basepairs", "bp"),
    ("query_kmer_len", "img_kmer_size"),
    ("query_mapping", "img_kmer_mapping"),
    ("actual_labels", "actual_labels"),
    ("possible_low_quality", "possible_low_quality"),
    ("basefrequency_sd", "basefrequency_sd"),
];

impl Query {
    /// The rows of a batch: `known` are the data's columns of each picture.
    pub fn table(&self, columns: &[String], known: Vec<Vec<String>>, rows: Rows) -> Rows {
        let at = |name: &str| rows.columns.iter().position(|column| column == name);
        let is_probability = |column: &String| column.starts_with("p_");
        let (prediction, kind) =
            (at("prediction"), if self.threshold.is_some() { "Multilabel" } else { "Single label" });
        let mut header: Vec<String> = KNOWN.iter().map(|(name, _)| (*name).to_owned()).collect();
        header.insert(4, "trained_model_path".into());
        header.push("prediction_type".into());
        header.extend(match &self.threshold {
            Some(_) => ["prediction_threshold", "predicted_labels"].map(String::from),
            None => ["best_pred_label", "best_pred_prob"].map(String::from),
        });
        let probabilities: Vec<usize> =
            (0..rows.columns.len()).filter(|&column| is_probability(&rows.columns[column])).collect();
        if self.include_probs {
            header.extend(probabilities.iter().map(|&column| rows.columns[column]["p_".len()..].to_owned()));
        }
        let line = |(row, known): (&Vec<String>, Vec<String>)| {
            let of = |name: &str| {
                let column = columns.iter().position(|column| column == name);
                column.and_then(|column| known.get(column)).cloned().unwrap_or_default()
            };
            let mut cells: Vec<String> = KNOWN.iter().map(|(_, column)| of(column)).collect();
            cells.insert(4, self.checkpoint.clone());
            cells.push(kind.to_owned());
            let predicted = prediction.map(|column| row[column].clone()).unwrap_or_default();
            match &self.threshold {
                Some(threshold) => cells.extend([threshold.clone(), predicted]),
                None => {
                    let best = at(&format!("p_{predicted}")).map(|column| row[column].clone());
                    cells.extend([predicted, best.unwrap_or_default()]);
                }
            }
            if self.include_probs {
                cells.extend(probabilities.iter().map(|&column| row[column].clone()));
            }
            cells
        };
        let cells = rows.rows.iter().zip(known).map(line).collect();
        Rows { columns: header, rows: cells, arrays: Vec::new() }
    }
}
