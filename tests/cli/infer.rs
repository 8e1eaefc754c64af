//! `runner infer`: files that nobody has labelled, with nothing but a run's folder.

use crate::pictures;
use crate::runner::{Place, json};

#[test]
fn a_folder_of_a_run_is_all_that_is_needed() {
    let place = Place::new();
    pictures::folders(&place.path().join("set"), 12, &[("ant", 8), ("bee", 8)]);
    let steps = "[{_target_:torchvision.transforms.Resize,size:[12,12]},{_target_:torchvision.transforms.ToTensor}]";
    place.ok(&format!(
        "train data=image_folder data.root=set data.train_transforms={steps} data.test_transforms={steps} \
         data.batch_size=3 model.net.channels=[4,4] trainer.max_epochs=1 test=false hydra.run.dir=run"
    ));
    // The folder goes to a place where nothing else is.
    let other = Place::new();
    let copied = std::process::Command::new("cp").arg("-r").arg(place.path().join("run")).arg(other.path()).status();
    assert!(copied.unwrap().success());
    drop(place);
    for i in 0..7 {
        pictures::colour(&other.path().join(format!("new/deep/{i}.png")), 20, i % 2, 90 + i);
    }
    other.write("new/broken.jpg", "no picture");
    other.write("new/empty.png", "");
    other.write("new/notes.txt", "beside the pictures");

    // As a table, to where one reads it; what cannot be read is named, and all else is there.
    let call = other.ok("infer run new");
    let lines: Vec<&str> = call.out.lines().collect();
    assert_eq!(lines[0], "path,prediction,p_ant,p_bee");
    assert_eq!(lines.len(), 8, "{}", call.out);
    assert!(lines[1].starts_with("deep/0.png,") && lines[7].starts_with("deep/6.png,"), "{}", call.out);
    for name in ["broken.jpg", "empty.png"] {
        assert!(call.err.contains("left out: ") && call.err.contains(name), "{}", call.err);
    }
    assert!(call.err.contains("7 predictions, 2 files could not be read"), "{}", call.err);

    // The same as JSON, whatever the batch and the number of threads.
    other.ok("infer run new out=found.jsonl data.batch_size=2 data.num_workers=2");
    let text = std::fs::read_to_string(other.path().join("found.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    other.ok("infer run new/deep/3.png new/deep/0.png out=two.json");
    let two = json(&other.path().join("two.json"));
    for (row, line) in rows.iter().zip(&lines[1..]) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!((row["path"].as_str(), row["prediction"].as_str()), (Some(cells[0]), Some(cells[1])));
        let probability: f64 = cells[2].parse().unwrap();
        assert!((row["p_ant"].as_f64().unwrap() - probability).abs() < 1e-5, "{line} {row}");
    }
    assert_eq!(
        (two[0]["path"].as_str(), two[0]["class"].as_str()),
        (Some("new/deep/3.png"), rows[3]["prediction"].as_str())
    );

    for (line, part) in [
        ("infer run nowhere.png", "there is no file nowhere.png"),
        ("infer run run/data", "there are no images in run/data"),
        ("infer run new/deep out=found.xml", "the ending .xml names no format"),
        // A training that left nothing.
        ("infer gone new", "gone"),
        ("infer new new", "new"),
    ] {
        let call = other.run(line);
        assert!(call.code == 2 && call.err.contains(part), "{line}: {}", call.err);
    }
    let call = other.run("infer run new/broken.jpg");
    assert!(call.code == 1 && call.err.contains("none of the files could be read"), "{}", call.err);
}
