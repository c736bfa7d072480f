//! `companionctl status`: one look at the three processes, whichever of them answer.

use std::process::ExitCode;
use std::time::Duration;

use authority_api::v1::{GetSessionRequest, Session};
use frontdoor_api::v1::FrontdoorStatus;
use runtime_api::v1::{Lifecycle, RuntimeFacts};
use serde::Serialize;

use super::confined::Confined;
use super::session::state_word;
use crate::context::{Context, Process, limits};
use crate::output::Output;
use crate::reasons;
use crate::refusal::{Failure, Refusal};
use crate::terminal::{Paint, plain, size};

/// `status --json`: contract 11. What is not known is null; counts that are not known are 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) available: bool,
    pub(super) missing: Vec<String>,
    pub(super) lifecycle: Option<&'static str>,
    pub(super) model: Option<String>,
    pub(super) endpoint: Option<String>,
    lane: String,
    pub(super) session: Option<&'static str>,
    in_flight: u32,
    queued: u32,
    queue_wait_ms: Option<u64>,
    ram_bytes: u64,
    vram_bytes: u64,
    cpu_percent: f64,
    health_age_ms: Option<u64>,
    pub(super) last_failure: Option<String>,
    pub(super) confinement: Confined,
    pids: Pids,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Pids {
    launcher: Option<u32>,
    broker: Option<u32>,
    supervisor: Option<u32>,
    frontdoor: Option<u32>,
    runtime: Option<u32>,
}

/// What each process said, or that it said nothing.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) frontdoor: Option<FrontdoorStatus>,
    pub(super) supervisor: Option<RuntimeFacts>,
    pub(super) broker: Option<Session>,
}

impl Heard {
    /// Whether any of them said something.
    pub(super) fn is_anybody(&self) -> bool {
        self.frontdoor.is_some() || self.supervisor.is_some() || self.broker.is_some()
    }
}

pub(crate) async fn run(context: &Context, out: &Output) -> Result<ExitCode, Failure> {
    let heard = hear(context).await;
    if !heard.is_anybody() && !context.is_running().await {
        let mut report = Report::join(heard);
        report.missing = vec!["companion_not_running".to_owned()];
        out.object(&report)?;
        // Under --json the report itself says so; else the sentence does.
        return if out.is_json() {
            Ok(ExitCode::FAILURE)
        } else {
            Err(Refusal::new("companion_not_running").into())
        };
    }
    let report = Report::join(heard);
    out.object(&report)?;
    out.say(&report.for_people(out))?;
    Ok(ExitCode::SUCCESS)
}

/// Asks all three at once.
pub(super) async fn hear(context: &Context) -> Heard {
    let (mut frontdoor, mut supervisor, mut broker) =
        (context.frontdoor(), context.supervisor(), context.broker());
    let frontdoor_call = frontdoor.get_status(frontdoor_api::v1::GetStatusRequest {});
    let supervisor_call = supervisor.get_status(runtime_api::v1::GetStatusRequest {});
    let broker_call = broker.get_session(GetSessionRequest {});
    let (frontdoor, supervisor, broker) = tokio::join!(
        context.ask(Process::Frontdoor, limits::FACTS, frontdoor_call),
        context.ask(Process::Supervisor, limits::FACTS, supervisor_call),
        context.ask(Process::Broker, limits::KEYCHAIN, broker_call),
    );
    Heard { frontdoor: frontdoor.ok(), supervisor: supervisor.ok(), broker: broker.ok() }
}

impl Report {
    pub(super) fn join(heard: Heard) -> Self {
        let missing = missing(&heard);
        let Heard { frontdoor, supervisor, broker } = heard;
        let pids = pids(frontdoor.as_ref(), supervisor.as_ref(), broker.as_ref());
        let confinement = Confined::of(frontdoor.as_ref(), supervisor.as_ref(), broker.as_ref());
        let session = broker.as_ref().map(|session| state_word(session.state()));
        let door = frontdoor.unwrap_or_default();
        let facts = supervisor.as_ref();
        let resources =
            facts.and_then(|facts| facts.resources).filter(|r| r.observed).unwrap_or_default();
        Self {
            available: door.available && missing.is_empty(),
            missing,
            lifecycle: facts.map(|facts| lifecycle_word(facts.lifecycle())),
            model: facts.and_then(|facts| filled(&facts.model_id)),
            endpoint: filled(&door.endpoint),
            lane: filled(&door.lane).unwrap_or_else(|| "disabled".to_owned()),
            session,
            in_flight: door.in_flight,
            queued: door.queued,
            queue_wait_ms: door.queue_wait_ms,
            ram_bytes: resources.ram_bytes,
            vram_bytes: resources.vram_bytes,
            cpu_percent: resources.cpu_percent,
            health_age_ms: door.health_age_ms,
            last_failure: facts.and_then(|facts| filled(&facts.last_failure)),
            confinement,
            pids,
        }
    }

    fn for_people(&self, out: &Output) -> String {
        let style = out.style();
        let mut lines = vec![if self.available {
            format!("{} {}", style.paint(Paint::Good, "●"), style.paint(Paint::Strong, "available"))
        } else {
            format!(
                "{} {}",
                style.paint(Paint::Bad, "○"),
                style.paint(Paint::Strong, "not available")
            )
        }];
        let mut row = |name: &str, value: String| {
            lines.push(format!("  {} {value}", style.paint(Paint::Quiet, &format!("{name:<10}"))));
        };
        for reason in reasons::causes(&self.missing) {
            row("missing", self.missing_for_people(reason));
        }
        if let Some(reason) = self.last_failure.as_ref().filter(|_| !self.available) {
            row("last run", Refusal::told(reason).message());
        }
        row("model", self.model.as_deref().map_or("none".to_owned(), plain));
        row("lifecycle", self.lifecycle.unwrap_or("unknown").to_owned());
        row("endpoint", self.endpoint.as_deref().map_or("unknown".to_owned(), plain));
        row("session", self.session.unwrap_or("unknown").replace('_', " "));
        row("lane", plain(&self.lane));
        row("requests", self.requests());
        if self.pids.runtime.is_some() {
            row("memory", self.memory());
            row("cpu", format!("{:.0} % of this computer", self.cpu_percent));
        }
        if let Some(age) = self.health_age_ms {
            row("health", format!("answered {} ago", ago(Duration::from_millis(age))));
        }
        row("confined", self.confinement.for_people());
        row("processes", self.pids.for_people());
        lines.join("\n")
    }

    fn missing_for_people(&self, reason: &str) -> String {
        match (reason, self.lifecycle) {
            ("not_ready", Some("starting")) => "The model is being loaded. (not_ready)".to_owned(),
            ("not_ready", Some("draining")) => "The model is being stopped. (not_ready)".to_owned(),
            ("asleep", Some("starting")) => "The model is being loaded again. (asleep)".to_owned(),
            _ => Refusal::told(reason).message(),
        }
    }

    fn requests(&self) -> String {
        let counts = format!("{} running, {} waiting", self.in_flight, self.queued);
        match self.queue_wait_ms {
            Some(wait) if wait > 0 => {
                format!("{counts}, about {} to wait", ago(Duration::from_millis(wait)))
            }
            _ => counts,
        }
    }

    fn memory(&self) -> String {
        if self.vram_bytes == 0 {
            size(self.ram_bytes)
        } else {
            format!("{}, graphics card {}", size(self.ram_bytes), size(self.vram_bytes))
        }
    }
}

impl Pids {
    fn for_people(&self) -> String {
        let named = [
            ("launcher", self.launcher),
            ("broker", self.broker),
            ("supervisor", self.supervisor),
            ("front door", self.frontdoor),
            ("runtime", self.runtime),
        ];
        let known: Vec<String> =
            named.iter().filter_map(|(name, pid)| pid.map(|pid| format!("{name} {pid}"))).collect();
        known.join(", ")
    }
}

/// What the front door misses, and which processes do not answer. A process that says nothing
/// makes the whole not available: nothing is assumed of it.
fn missing(heard: &Heard) -> Vec<String> {
    let mut missing: Vec<String> = match &heard.frontdoor {
        Some(door) => {
            let mut words = door.missing.clone();
            if !door.available && words.is_empty() {
                words.push("not_ready".to_owned());
            }
            words
        }
        None => vec![Process::Frontdoor.unreachable().to_owned()],
    };
    let silent = [
        (Process::Supervisor, heard.supervisor.is_none()),
        (Process::Broker, heard.broker.is_none()),
    ];
    for (process, _) in silent.into_iter().filter(|(_, is_silent)| *is_silent) {
        let word = process.unreachable().to_owned();
        if !missing.contains(&word) {
            missing.push(word);
        }
    }
    // Asked at one time, the two may speak of two moments: a front door that has not yet heard of
    // its supervisor's end, and the supervisor that took its place.
    let is_ready = heard.supervisor.as_ref().is_none_or(|it| it.lifecycle() == Lifecycle::Ready);
    if !is_ready && !missing.iter().any(|word| word == "not_ready") {
        missing.push("not_ready".to_owned());
    }
    missing
}

fn pids(
    door: Option<&FrontdoorStatus>,
    facts: Option<&RuntimeFacts>,
    session: Option<&Session>,
) -> Pids {
    let known = |pid: u32| (pid != 0).then_some(pid);
    Pids {
        launcher: session.and_then(|session| known(session.launcher_pid)),
        broker: session.and_then(|session| known(session.broker_pid)),
        supervisor: facts.and_then(|facts| known(facts.supervisor_pid)),
        frontdoor: door.and_then(|door| known(door.frontdoor_pid)),
        runtime: facts.and_then(|facts| known(facts.runtime_pid)),
    }
}

fn lifecycle_word(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Unspecified => "unknown",
        Lifecycle::Stopped => "stopped",
        Lifecycle::Starting => "starting",
        Lifecycle::Ready => "ready",
        Lifecycle::Draining => "draining",
    }
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn ago(age: Duration) -> String {
    if age < Duration::from_secs(120) {
        format!("{:.1} s", age.as_secs_f64())
    } else {
        format!("{} min", age.as_secs() / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use authority_api::v1::SessionState;
    use runtime_api::v1::Resources;
    use serde_json::{Value, json};

    fn all_well() -> Heard {
        Heard {
            frontdoor: Some(FrontdoorStatus {
                available: true,
                endpoint: "http://127.0.0.1:4711".to_owned(),
                lane: "local".to_owned(),
                in_flight: 1,
                queue_wait_ms: Some(2500),
                health_age_ms: Some(1200),
                frontdoor_pid: 14,
                landlock_abi: 9,
                ..FrontdoorStatus::default()
            }),
            supervisor: Some(RuntimeFacts {
                lifecycle: Lifecycle::Ready.into(),
                model_id: "m".to_owned(),
                runtime_pid: 15,
                supervisor_pid: 13,
                landlock_abi: 9,
                resources: Some(Resources {
                    observed: true,
                    ram_bytes: 5,
                    vram_bytes: 0,
                    cpu_percent: 2.5,
                }),
                ..RuntimeFacts::default()
            }),
            broker: Some(Session {
                state: SessionState::Valid.into(),
                launcher_pid: 11,
                broker_pid: 12,
                landlock_abi: 9,
                ..Session::default()
            }),
        }
    }

    fn as_json(heard: Heard) -> Value {
        serde_json::to_value(Report::join(heard)).expect("value")
    }

    #[test]
    fn status_has_the_fields_of_contract_11() {
        assert_eq!(
            as_json(all_well()),
            json!({
                "available": true, "missing": [], "lifecycle": "ready", "model": "m",
                "endpoint": "http://127.0.0.1:4711", "lane": "local", "session": "valid",
                "in_flight": 1, "queued": 0, "queue_wait_ms": 2500, "ram_bytes": 5, "vram_bytes": 0,
                "cpu_percent": 2.5, "health_age_ms": 1200, "last_failure": null,
                "confinement": { "broker": 9, "supervisor": 9, "frontdoor": 9, "gaps": [] },
                "pids": { "launcher": 11, "broker": 12, "supervisor": 13, "frontdoor": 14,
                    "runtime": 15 },
            })
        );
    }

    #[test]
    fn a_process_that_does_not_answer_makes_it_unavailable_and_is_named() {
        let silent = |word: &str, heard: Heard| {
            let report = as_json(heard);
            assert_eq!(report["available"], false);
            assert_eq!(report["missing"], json!([word]));
        };
        silent("frontdoor_unreachable", Heard { frontdoor: None, ..all_well() });
        silent("supervisor_unreachable", Heard { supervisor: None, ..all_well() });
        silent("broker_unreachable", Heard { broker: None, ..all_well() });
    }

    #[test]
    fn a_front_door_that_is_behind_its_supervisor_is_not_believed() {
        let mut heard = all_well();
        let facts = heard.supervisor.as_mut().expect("facts");
        facts.lifecycle = Lifecycle::Stopped.into();
        let report = as_json(heard);
        assert_eq!(report["available"], false);
        assert_eq!(report["missing"], json!(["not_ready"]));
    }

    #[test]
    fn what_is_not_known_is_null_and_never_guessed() {
        let report = as_json(Heard::default());
        assert_eq!(report["available"], false);
        assert_eq!(report["lane"], "disabled");
        for field in ["lifecycle", "model", "endpoint", "session", "health_age_ms"] {
            assert_eq!(report[field], Value::Null, "{field}");
        }
        for pid in ["launcher", "broker", "supervisor", "frontdoor", "runtime"] {
            assert_eq!(report["pids"][pid], Value::Null, "{pid}");
        }
    }

    #[test]
    fn figures_that_were_not_observed_are_not_shown() {
        let mut heard = all_well();
        let facts = heard.supervisor.as_mut().expect("facts");
        facts.resources =
            Some(Resources { observed: false, ram_bytes: 99, ..Resources::default() });
        assert_eq!(as_json(heard)["ram_bytes"], 0);
    }

    #[test]
    fn people_read_what_is_missing_and_what_to_do() {
        let mut heard = all_well();
        let door = heard.frontdoor.as_mut().expect("door");
        door.available = false;
        door.missing = vec!["not_ready".to_owned()];
        let text = Report::join(heard).for_people(&Output::new(false));
        assert!(text.contains("not available"));
        assert!(text.contains("companionctl start ID"));
        assert!(text.contains("(not_ready)"));
    }

    #[test]
    fn of_a_model_that_rests_people_read_that_a_request_loads_it_again() {
        let mut heard = all_well();
        let door = heard.frontdoor.as_mut().expect("door");
        door.available = false;
        door.missing = ["model_unverified", "not_ready", "asleep"].map(str::to_owned).to_vec();
        let facts = heard.supervisor.as_mut().expect("facts");
        (facts.lifecycle, facts.asleep, facts.runtime_pid) = (Lifecycle::Stopped.into(), true, 0);
        let report = Report::join(heard);
        assert_eq!((report.available, report.model.as_deref()), (false, Some("m")));
        let text = report.for_people(&Output::new(false));
        assert!(text.contains("The next request loads it again. (asleep)"), "{text}");
        assert!(!text.contains("companionctl start"), "{text}");
    }

    #[test]
    fn every_word_this_command_adds_is_a_known_reason() {
        for process in Process::ALL {
            assert!(reasons::is_known(process.unreachable()));
        }
        assert!(reasons::is_known("companion_not_running"));
    }
}
