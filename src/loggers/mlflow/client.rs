//! The calls of MLflow's REST API that a run needs.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use super::outbox::Item;

/// Why a call failed.
#[derive(Debug)]
pub enum Fault {
    /// The server is away or busy: the same call may succeed later.
    Away(String),
    /// The server will not have it.
    Refused(String),
}

/// A server.
pub struct Client {
    agent: ureq::Agent,
    uri: String,
    authorization: Option<String>,
}

impl Client {
    /// The server at `uri`, with the credentials of MLflow's environment variables.
    pub fn new(uri: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .build()
            .into();
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let basic = || {
            let pair = format!("{}:{}", variable("MLFLOW_TRACKING_USERNAME")?, variable("MLFLOW_TRACKING_PASSWORD")?);
            Some(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair)))
        };
        let authorization = variable("MLFLOW_TRACKING_TOKEN").map(|token| format!("Bearer {token}")).or_else(basic);
        Client { agent, uri: uri.trim_end_matches('/').to_owned(), authorization }
    }

    /// The id of the experiment `name`, made when there is none.
    pub fn experiment(&self, name: &str, artifact_location: Option<&str>) -> Result<String, Fault> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let found = self.get("experiments/get-by-name", &[("experiment_name", name)]);
        match found {
            Ok(found) => return text(&found["experiment"]["experiment_id"]).ok_or_else(|| unexpected(&found)),
            Err(Fault::Refused(why)) if why.contains("RESOURCE_DOES_NOT_EXIST") => {}
            Err(fault) => return Err(fault),
        }
        let made = self.post("experiments/create", json!({ "name": name, "artifact_location": artifact_location }));
        match made {
            Ok(made) => text(&made["experiment_id"]).ok_or_else(|| unexpected(&made)),
            // Another run made it meanwhile.
            Err(Fault::Refused(why)) if why.contains("RESOURCE_ALREADY_EXISTS") => Err(Fault::Away(why)),
            Err(fault) => Err(fault),
        }
    }

    /// Makes a run; gives its id and where its artifacts go.
    pub fn create_run(
        &self,
        experiment: &str,
        name: Option<&str>,
        tags: &[(String, String)],
        time_ms: i64,
    ) -> Result<(String, String), Fault> {
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let body = json!({ "experiment_id": experiment, "run_name": name, "start_time": time_ms, "tags": tags });
        let made = self.post("runs/create", body)?;
        Self::id_and_place(&made)
    }

    /// A run that is there: its id and where its artifacts go.
    pub fn run(&self, id: &str) -> Result<(String, String), Fault> {
        Self::id_and_place(&self.get("runs/get", &[("run_id", id)])?)
    }

    fn id_and_place(answer: &Value) -> Result<(String, String), Fault> {
        let info = &answer["run"]["info"];
        match (info["run_id"].as_str(), info["artifact_uri"].as_str()) {
            (Some(id), place) => Ok((id.to_owned(), place.unwrap_or_default().to_owned())),
            _ => Err(unexpected(answer)),
        }
    }

    /// Tells parameters, metrics and tags: at most 1000 in all, 100 parameters, 100 tags.
    pub fn log_batch<'a>(&self, run: &str, items: impl IntoIterator<Item = &'a Item>) -> Result<(), Fault> {
        let (mut params, mut metrics, mut tags) = (Vec::new(), Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::Param { key, value } => params.push(json!({ "key": key, "value": value })),
                Item::Tag { key, value } => tags.push(json!({ "key": key, "value": value })),
                Item::Metric { key, value, step, time_ms } => {
                    let value = value.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
                    let value = value.map_or_else(|| json!(item.special()), Value::Number);
                    metrics.push(json!({ "key": key, "value": value, "timestamp": time_ms, "step": step }));
                }
                Item::Artifact { .. } | Item::Status { .. } => {}
            }
        }
        let body = json!({ "run_id": run, "params": params, "metrics": metrics, "tags": tags });
        self.post("runs/log-batch", body).map(drop)
    }

    /// Says how a run is.
    pub fn update(&self, run: &str, status: &str, time_ms: i64) -> Result<(), Fault> {
        let mut body = json!({ "run_id": run, "status": status });
        if status != "RUNNING" {
            body["end_time"] = json!(time_ms);
        }
        self.post("runs/update", body).map(drop)
    }

    /// Uploads a file to the place that the server has for the run's artifacts.
    pub fn upload(&self, place: &str, name: &str, file: &Path) -> Result<(), Fault> {
        let Some(path) = place.strip_prefix("mlflow-artifacts:") else { return copy(place, name, file) };
        // `mlflow-artifacts:/1/abc/artifacts` or `mlflow-artifacts://host:5000/1/abc/artifacts`.
        let path = match path.strip_prefix("//") {
            Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
            None => path.trim_start_matches('/'),
        };
        let url = format!("{}/api/2.0/mlflow-artifacts/artifacts/{}/{}", self.uri, escaped(path), escaped(name));
        let open = std::fs::File::open(file).map_err(|error| Fault::Refused(format!("{}: {error}", file.display())))?;
        let request = self.authorized(self.agent.put(url)).header("content-type", "application/octet-stream");
        answer(request.send(open)).map(drop)
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }

    fn get(&self, call: &str, query: &[(&str, &str)]) -> Result<Value, Fault> {
        let request = self.agent.get(format!("{}/api/2.0/mlflow/{call}", self.uri));
        answer(self.authorized(request.query_pairs(query.iter().copied())).call())
    }

    fn post(&self, call: &str, body: Value) -> Result<Value, Fault> {
        let request = self.agent.post(format!("{}/api/2.0/mlflow/{call}", self.uri));
        answer(self.authorized(request).header("content-type", "application/json").send(body.to_string()))
    }
}

impl Item {
    /// How MLflow's JSON spells what is not a number.
    fn special(&self) -> &'static str {
        match self {
            Item::Metric { value, .. } if value.starts_with("-inf") => "-Infinity",
            Item::Metric { value, .. } if value.starts_with("inf") => "Infinity",
            _ => "NaN",
        }
    }
}

/// A server and its runs may share a disk.
fn copy(place: &str, name: &str, file: &Path) -> Result<(), Fault> {
    let folder = place.strip_prefix("file://").unwrap_or(place);
    if !folder.starts_with('/') {
        let message = format!("artifacts at {place} cannot be written; start the server with --artifacts-destination");
        return Err(Fault::Refused(message));
    }
    let target = Path::new(folder).join(name);
    let copied = target.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::copy(file, &target));
    copied.map(drop).map_err(|error| Fault::Refused(format!("{}: {error}", target.display())))
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, Fault> {
    let mut response = match response {
        Ok(response) => response,
        Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => return Err(Fault::Refused(error.to_string())),
        Err(error) => return Err(Fault::Away(error.to_string())),
    };
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().map_err(|error| Fault::Away(error.to_string()))?;
    match status {
        200..300 => Ok(serde_json::from_str(&text).unwrap_or(Value::Null)),
        408 | 429 | 500.. => Err(Fault::Away(format!("status {status}"))),
        _ => Err(Fault::Refused(format!("status {status}: {}", text.chars().take(300).collect::<String>()))),
    }
}

fn unexpected(answer: &Value) -> Fault {
    Fault::Refused(format!(
        "this is not an MLflow server: {}",
        answer.to_string().chars().take(100).collect::<String>()
    ))
}

/// Percent-encoding of a path: letters, digits and what a path may hold stay.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
