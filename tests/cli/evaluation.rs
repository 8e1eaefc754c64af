//! `runner evaluate` on tables of predictions.

use crate::runner::{Place, json};

/// Two levels, five samples.
const LEVELS: &str = "id,target_species,prediction_species,p_species,target_family,prediction_family,p_family\n\
    1,ant,ant,0.9,insect,insect,0.9\n2,ant,bee,0.6,insect,insect,0.8\n3,bee,bee,0.7,insect,insect,0.7\n\
    4,cat,bee,0.4,mammal,insect,0.5\n5,cat,cat,0.8,mammal,mammal,0.9\n";

#[test]
fn tables_and_pictures_of_every_level() {
    let place = Place::new();
    place.write("run/predictions.csv", LEVELS);
    let call = place.ok("evaluate run");
    assert!(call.out.contains("species      accuracy 0.6000"), "{}", call.out);
    let folder = place.path().join("run/evaluation");
    let summary = json(&folder.join("summary.json"));
    assert_eq!(summary["levels"]["family"]["accuracy"], 0.8);
    let classes = std::fs::read_to_string(folder.join("per_class_species.csv")).unwrap();
    assert!(classes.contains("ant,2,1,1,1.000000,0.500000,0.666667"), "{classes}");
    let within = "within_family/insect";
    for stem in [
        "confusion_matrix_species",
        "confusion_matrix_family_normalized",
        within,
        "calibration_species",
        "thresholds_family",
    ] {
        let svg = std::fs::read_to_string(folder.join(format!("{stem}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{stem}");
        let png = std::fs::read(folder.join(format!("{stem}.png"))).unwrap();
        assert_eq!(&png[1..4], b"PNG");
    }
    let svg = std::fs::read_to_string(folder.join(format!("{within}.svg"))).unwrap();
    assert!(svg.contains("Other families") && !svg.contains(">cat<"));
    let pairs = std::fs::read_to_string(folder.join("confused_pairs_species.csv")).unwrap();
    assert_eq!(pairs.lines().nth(1), Some("ant,bee,1,0.500000"));
}

#[test]
fn what_cannot_be_evaluated_is_said() {
    let place = Place::new();
    place.write("p.csv", "id,prediction\n1,a\n");
    assert!(place.run("evaluate p.csv").err.contains("no columns `target` and `prediction`"));
    assert!(place.run("evaluate nothing.csv").err.contains("there is no table of predictions"));
    place.write("q.csv", LEVELS);
    let wrong = place.run("evaluate q.csv within=genus");
    assert!(wrong.code == 2 && wrong.err.contains("they have family"), "{}", wrong.err);
    assert!(place.run("evaluate q.csv outt=x").err.contains("no option `outt`"));
}
