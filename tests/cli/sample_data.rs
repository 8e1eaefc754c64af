//! `scripts/sample_data`: files of varKoder's and moths' layout and statistics.

use std::path::Path;
use std::process::Command;

use crate::runner::{Place, json};

/// Makes such files below the place: `varkoder made --samples 4`.
pub fn made_up(place: &Place, line: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/sample_data");
    let status = Command::new(script).args(line.split_whitespace()).current_dir(place.path()).status();
    assert!(status.expect("python3 starts").success(), "{line}");
}

#[test]
fn moths_are_made_up_and_read() {
    let place = Place::new();
    made_up(&place, "moths made");
    let call = place.ok("prepare image-folder made/source_a made/source_b --out all");
    assert!(call.out.contains("2  files cannot be read and are left out"), "{}", call.out);
    // Over all pixels, those of moths' configs.
    place.ok("prepare stats all --out stats.json");
    let stats = json(&place.path().join("stats.json"))["by_channels"][0].clone();
    for (name, expected) in [("mean", [136.24, 133.32, 116.16]), ("std", [46.18, 46.70, 48.89])] {
        for (channel, expected) in expected.iter().enumerate() {
            let found = stats[name][channel].as_f64().unwrap() * 255.0;
            assert!((found / expected - 1.0).abs() < 0.05, "{name} {channel}: {found}");
        }
    }
    let call = place.ok("data experiment=moths data.root=all data.hierarchy.path=made/family.csv data.min_samples=6 \
         data.test_fraction=0.2 data.batch_size=8 data.num_workers=0 samples=4 --out seen");
    assert!(call.out.contains("floats of shape [3, 224, 224]"), "{}", call.out);
    // Five pictures are too few, and one species is in no table: both are `Other`.
    let classes = std::fs::read_to_string(place.path().join("seen/data/classes.csv")).unwrap();
    let names: Vec<&str> = classes.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(
        names,
        [
            "Other",
            "Amata phegea",
            "Arctia caja",
            "Cydia microgrammana",
            "Cydia pomonella",
            "Pammene rhediella",
            "Pieris rapae"
        ]
    );
}

#[test]
fn pictures_of_kmers_are_made_up_and_read() {
    let place = Place::new();
    made_up(&place, "varkoder made --samples 4");
    made_up(&place, "varkoder again --samples 4");
    let name = "pictures/Mycoplasma/Mycoplasma_S04@00000500K+varKode+k7.png";
    let [made, again] = ["made", "again"].map(|folder| std::fs::read(place.path().join(folder).join(name)).unwrap());
    assert!(made == again, "the same arguments make the same files");
    // Every brightness is as frequent as any other: 32 of the 8,192 k-mers.
    let pixels = image::load_from_memory(&made).unwrap().into_luma8();
    let mut counts = [0; 256];
    pixels.pixels().for_each(|pixel| counts[usize::from(pixel.0[0])] += 1);
    assert_eq!((pixels.dimensions(), counts[0]), ((91, 91), 32 + 91 * 91 - 8192));
    assert!(counts[1..].iter().all(|count| *count == 32));
    let call = place.ok("data experiment=varkoder data.root=made/pictures model.net.architecture=fiannaca2018 \
         model.net.random_weights=true samples=4 --out seen");
    assert!(call.out.contains("floats of shape [3, 91, 91]") && call.out.contains("low_quality:True"), "{}", call.out);
    let rows = std::fs::read_to_string(place.path().join("seen/input_data.csv")).unwrap();
    assert_eq!(rows.lines().filter(|row| row.contains(",True,")).count(), 6, "{rows}");
}
