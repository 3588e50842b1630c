//! Consolidation from outside: previewed, run, undone, due, off; and what readers show because of it.

use std::collections::BTreeMap;

use agent_memory::config::Consolidation;
use serde_json::{Value, json};

use crate::harness::{TestApp, id, made_id, texts};
use crate::process::wait_for;

/// A server that consolidates at this time.
pub(crate) fn consolidating(when: &str) -> TestApp {
    let schedule = when.parse().unwrap();
    TestApp::start_with(|config| {
        config.consolidation = Consolidation {
            schedule,
            ..Consolidation::default()
        };
    })
}

/// A handoff of so many days before the test's clock stood at first.
pub(crate) fn hand_off(app: &TestApp, number: u32, days: i64, over: &Value) -> String {
    let now = agent_memory::domain::Timestamp::parse("now", crate::harness::NOW).unwrap();
    let created_at = now.plus_millis(-days * 86_400_000).to_string();
    let mut handoff = json!({
        "handoff_id": made_id("sh", number),
        "session_id": format!("session {number}"),
        "created_at": created_at,
        "experienced": format!(
            "We opened the tide gauge number {number} on the north pier. The float was stuck in the pipe. \
             It took two hours to free it, and the paint came off. Bruno fetched the long ladder from the shed. \
             We decided to grease the float every 14 days from now on. The weather was grey and nobody was on the beach. \
             The readings since Tuesday are wrong by 12 cm and have to be marked."
        ),
        "learned": "A stuck float looks like calm water in the data. The pipe has to be rinsed before the float goes in.",
        "remember": "Mark the readings since Tuesday as wrong.",
        "becoming": "I check the float before I trust a flat line.",
    });
    for (key, value) in over.as_object().unwrap() {
        handoff[key] = value.clone();
    }
    id(&app.hand_off(handoff).created(), "handoff_id")
}

pub(crate) fn level(app: &TestApp, id: &str) -> String {
    let handoff = app.get(&format!("/api/v1/handoffs/{id}")).ok();
    handoff["compression_level"].as_str().unwrap().to_owned()
}

pub(crate) fn export(app: &TestApp) -> String {
    // The head says when it was made, which stands still here.
    app.get("/api/v1/export/all").text()
}

/// What a command of `consolidate` prints. It goes by the clock of the machine, which is beyond any test's: so each handoff
/// becomes a summary, and none more.
#[track_caller]
fn cli(app: &TestApp, args: &[&str]) -> Value {
    let days = ["--quick-ref-days", "30000", "--integrated-days", "36000"];
    let mut command = crate::process::command(app.file());
    let command = command.arg("consolidate").args(days).args(args);
    let ran = command.arg("--json").output().unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// Begins a run and waits until all of it has ended; the jobs as the history has them, by type.
#[track_caller]
pub(crate) fn run(app: &TestApp, body: &Value) -> BTreeMap<String, Value> {
    let answer = app.post("/api/v1/consolidation/run", body);
    let begun = answer.is(202).json();
    let ids = texts(&begun["jobs"], "job_id");
    assert!(!ids.is_empty());
    wait_for("the jobs to end", || {
        let history = app
            .get("/api/v1/consolidation/jobs?order=desc&limit=100")
            .ok();
        let jobs: Vec<Value> = history["jobs"].as_array().unwrap().clone();
        let mine: BTreeMap<String, Value> = jobs
            .into_iter()
            .filter(|job| ids.contains(&id(job, "job_id")))
            .map(|job| (id(&job, "job_type"), job))
            .collect();
        let ended = mine.values().all(|job| job["status"] != "running");
        (mine.len() == ids.len() && ended).then_some(mine)
    })
}

#[track_caller]
pub(crate) fn is_well(app: &TestApp) {
    let mut command = crate::process::command(app.file());
    let ran = command.args(["doctor", "--json"]).output().unwrap();
    let findings: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let all = findings.as_array().unwrap();
    assert!(all.iter().all(|finding| finding["ok"] == true), "{all:#?}");
}

#[test]
fn handoffs_take_the_form_of_their_age_and_an_undo_takes_it_back() {
    let app = consolidating("02:00");
    let ids: Vec<String> = [1, 31, 91, 181]
        .iter()
        .zip(1..)
        .map(|(days, number)| hand_off(&app, number, *days, &json!({})))
        .collect();
    let only = json!({"job_type": "handoff_compression"});
    let before = export(&app);
    // What a run would change is what it then changes.
    let preview = app.post(
        "/api/v1/consolidation/run",
        &json!({"job_type": "handoff_compression", "dry_run": true}),
    );
    let plan = preview.ok()["plans"][0].clone();
    assert_eq!(export(&app), before, "a preview changes nothing");
    let job = run(&app, &only)["handoff_compression"].clone();
    assert_eq!(job["status"], "completed");
    for number in [
        "items_processed",
        "items_affected",
        "tokens_before",
        "tokens_after",
    ] {
        assert_eq!(plan[number], job[number], "{number}");
    }
    assert_eq!(job["items_affected"], 3);
    assert!(job["tokens_after"].as_u64() < job["tokens_before"].as_u64());
    let levels: Vec<String> = ids.iter().map(|id| level(&app, id)).collect();
    assert_eq!(levels, ["full", "summary", "quick_ref", "integrated"]);
    // The full text is as it was.
    let kept = app.get(&format!("/api/v1/handoffs/{}", ids[3])).ok();
    assert!(id(&kept, "experienced").contains("wrong by 12 cm"));
    assert_eq!(
        app.metric("agent_memory_handoffs{compression_level=\"summary\"}"),
        1.0
    );
    // The same again changes nothing.
    let after = export(&app);
    assert_ne!(after, before);
    let again = run(&app, &only)["handoff_compression"].clone();
    assert_eq!(again["items_affected"], 0);
    assert_eq!(export(&app), after);
    is_well(&app);
    let undo = |job: &Value| {
        let path = format!("/api/v1/consolidation/jobs/{}/undo", id(job, "job_id"));
        app.post(&path, &json!({}))
    };
    let undone = undo(&job).ok();
    assert_eq!(undone["undone_at"], crate::harness::NOW);
    assert_eq!(export(&app), before);
    is_well(&app);
    // Only once.
    undo(&job).is(409);
}

#[test]
fn an_undo_says_what_depends_on_it() {
    let app = consolidating("02:00");
    let handoff = hand_off(&app, 1, 100, &json!({}));
    let only = json!({"job_type": "handoff_compression"});
    let first = cli(&app, &["--type", "handoff_compression", "run"])["jobs"][0].clone();
    assert_eq!(level(&app, &handoff), "summary");
    let second = run(&app, &only)["handoff_compression"].clone();
    assert_eq!(level(&app, &handoff), "quick_ref");
    let undo = |job: &Value| {
        let path = format!("/api/v1/consolidation/jobs/{}/undo", id(job, "job_id"));
        app.post(&path, &json!({}))
    };
    let refused = undo(&first);
    let detail = id(&refused.is(409).json(), "detail");
    assert!(
        detail.contains(&handoff) && detail.contains(&id(&second, "job_id")),
        "{detail}"
    );
    assert_eq!(level(&app, &handoff), "quick_ref", "nothing was touched");
    undo(&second).ok();
    assert_eq!(level(&app, &handoff), "summary");
    undo(&first).ok();
    assert_eq!(level(&app, &handoff), "full");
    // What was forgotten since is in nobody's way, and its forms are gone with it.
    assert_eq!(level(&app, &handoff), "full");
    let third = run(&app, &only)["handoff_compression"].clone();
    app.delete(&format!("/api/v1/handoffs/{handoff}"))
        .forgotten();
    undo(&third).ok();
    app.wait_until_erased("long ladder from the shed");
}

#[test]
fn bad_input_is_refused_in_words() {
    let app = consolidating("02:00");
    app.say("there is a tenant");
    let run = |body: &Value| app.post("/api/v1/consolidation/run", body);
    let unknown = run(&json!({"job_type": "magic"}));
    assert!(unknown.is(422).text().contains("handoff_compression"));
    run(&json!({"job": "reflection"})).is(422);
    let undo = |id: &str| app.post(&format!("/api/v1/consolidation/jobs/{id}/undo"), &json!({}));
    undo("job_1").is(422);
    undo(&made_id("job", 7)).is(404);
    app.get("/api/v1/consolidation/jobs?limit=0").is(422);
    app.get("/api/v1/consolidation/status?colour=red").is(422);
    let refused = |args: &[&str]| {
        let mut command = crate::process::command(app.file());
        let ran = command.args(args).output().unwrap();
        let error = String::from_utf8(ran.stderr).unwrap();
        (ran.status.code().unwrap(), error)
    };
    for (args, code, says) in [
        (vec!["consolidate", "run", "--type", "magic"], 2, "--type"),
        (vec!["consolidate"], 2, "say what"),
        (
            vec![
                "consolidate",
                "undo",
                "job_00000000000000000000000000000007",
            ],
            4,
            "job not found",
        ),
        (
            vec!["consolidate", "--consolidation", "off", "run"],
            5,
            "--force",
        ),
        (
            vec!["consolidate", "--dry-run", "--summary-days", "-3"],
            2,
            "--summary-days",
        ),
        (
            vec!["serve", "--quick-ref-days", "30"],
            2,
            "--quick-ref-days",
        ),
        (
            vec!["serve", "--consolidation", "25:00"],
            2,
            "--consolidation",
        ),
    ] {
        let (found, error) = refused(&args);
        assert_eq!(found, code, "{args:?}: {error}");
        assert!(error.contains(says), "{args:?}: {error}");
    }
}

#[test]
fn off_is_off() {
    let app = TestApp::start();
    hand_off(&app, 1, 200, &json!({}));
    let refused = app.post("/api/v1/consolidation/run", &json!({}));
    assert!(refused.is(409).text().contains("switched off"));
    app.advance_hours(24 * 40);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(level(&app, &made_id("sh", 1)), "full");
    let scrape = app.scrape();
    assert!(
        scrape
            .names()
            .iter()
            .all(|name| !name.contains("consolidation_"))
    );
    let status = app.get("/api/v1/consolidation/status").ok();
    assert_eq!(status["schedule"], "off");
    assert_eq!(status.get("next_run"), None);
    // To look is allowed.
    let preview = app.post("/api/v1/consolidation/run", &json!({"dry_run": true}));
    assert_eq!(preview.ok()["plans"].as_array().unwrap().len(), 6);
}

#[test]
fn it_runs_when_due_and_once_for_all_the_times_it_missed() {
    let app = consolidating("02:00");
    let handoff = hand_off(&app, 1, 40, &json!({}));
    hand_off(&app, 2, 40, &json!({"tenant_id": "other"}));
    let history = |app: &TestApp| {
        let page = app.get("/api/v1/consolidation/jobs?limit=100").ok();
        page["jobs"].as_array().unwrap().clone()
    };
    assert!(history(&app).is_empty());
    // 09:30 and 17 hours and a minute is past 02:00, whatever the jitter.
    app.advance_hours(17);
    wait_for("the round that was due", || {
        (history(&app).len() == 6 && history(&app).iter().all(|job| job["status"] != "running"))
            .then_some(())
    });
    assert!(
        history(&app)
            .iter()
            .all(|job| job["cause"] == "scheduled" || job["cause"] == "caught_up")
    );
    assert_eq!(level(&app, &handoff), "summary");
    let other = app
        .get(&format!(
            "/api/v1/handoffs/{}?tenant_id=other",
            made_id("sh", 2)
        ))
        .ok();
    assert_eq!(other["compression_level"], "summary");
    // A week without a server, and one round for it.
    app.advance_hours(24 * 7);
    let app = app.restarted();
    wait_for("the round that was missed", || {
        (history(&app).len() == 12 && history(&app).iter().all(|job| job["status"] != "running"))
            .then_some(())
    });
    let missed = &history(&app)[6..];
    assert!(
        missed.iter().all(|job| job["cause"] == "caught_up"),
        "{missed:#?}"
    );
    // Metrics are the sum of the history, of both tenants; maintenance is nobody's.
    let compressions = wait_for("the totals to be read", || {
        let runs = app.metric("agent_memory_consolidation_jobs_total{job_type=\"maintenance\"}");
        (runs == 2.0).then(|| app.metric(
            "agent_memory_consolidation_runs_total{job_type=\"handoff_compression\",outcome=\"completed\"}",
        ))
    });
    assert_eq!(compressions, 4.0);
    assert_eq!(
        app.metric("agent_memory_consolidation_items_total{job_type=\"handoff_compression\"}"),
        2.0
    );
    let scrape = app.scrape();
    let now = app.clock.now().millis() as f64 / 1e3;
    let success =
        "agent_memory_consolidation_last_success_timestamp_seconds{job_type=\"maintenance\"}";
    assert!((scrape.value(success) - now).abs() < 1.0);
    let next = "agent_memory_consolidation_next_run_timestamp_seconds{job_type=\"maintenance\"}";
    assert!(scrape.value(next) > now);
    is_well(&app);
}

#[test]
fn tenants_do_not_meet() {
    let app = consolidating("6h");
    let own = hand_off(&app, 1, 40, &json!({}));
    hand_off(&app, 2, 40, &json!({"tenant_id": "other"}));
    let jobs = run(&app, &json!({}));
    assert_eq!(jobs.len(), 6);
    assert_eq!(level(&app, &own), "summary");
    let other = app
        .get(&format!(
            "/api/v1/handoffs/{}?tenant_id=other",
            made_id("sh", 2)
        ))
        .ok();
    assert_eq!(other["compression_level"], "full");
    let history = app.get("/api/v1/consolidation/jobs?tenant_id=other").ok();
    // Maintenance is of the file.
    assert_eq!(texts(&history["jobs"], "job_type"), ["maintenance"]);
    let job = id(&jobs["handoff_compression"], "job_id");
    let path = format!("/api/v1/consolidation/jobs/{job}/undo?tenant_id=other");
    app.post(&path, &json!({})).is(404);
    let job = id(&jobs["maintenance"], "job_id");
    let path = format!("/api/v1/consolidation/jobs/{job}/undo");
    app.post(&path, &json!({})).is(409);
    app.post("/api/v1/consolidation/run", &json!({"tenant_id": "nobody"}))
        .is(409);
}

#[test]
fn a_decision_that_nobody_asks_for_leaves_the_wake_up_and_comes_back_when_asked_for() {
    let app = consolidating("6h");
    let decide = |number: u32, over: Value| {
        let mut decision = json!({
            "decision_id": made_id("dec", number), "decision": format!("grease float {number}"),
            "ts": "2025-11-01T00:00:00.000Z",
        });
        for (key, value) in over.as_object().unwrap() {
            decision[key] = value.clone();
        }
        app.post("/api/v1/decisions", &decision).created();
    };
    decide(1, json!({"decision": "the anemometer is read at dawn"}));
    decide(2, json!({"scope": "policy"}));
    decide(3, json!({"scope": "global"}));
    decide(4, json!({"ts": "2026-02-20T00:00:00.000Z"}));
    decide(5, json!({"decision": "the barometer hangs inside"}));
    let shown = || {
        let wake_up = app.get("/api/v1/wake-up").ok();
        texts(&wake_up["recent_decisions"], "decision_id")
    };
    let ids = |numbers: &[u32]| -> Vec<String> {
        numbers
            .iter()
            .map(|number| made_id("dec", *number))
            .collect()
    };
    assert_eq!(shown().len(), 5);
    // A search before the run keeps it.
    assert_eq!(app.recall("barometer"), ids(&[5]));
    let app = app.restarted();
    let shown = || {
        let wake_up = app.get("/api/v1/wake-up").ok();
        let mut shown = texts(&wake_up["recent_decisions"], "decision_id");
        shown.sort();
        shown
    };
    let before = export(&app);
    let only = json!({"job_type": "decision_archival"});
    let job = run(&app, &only)["decision_archival"].clone();
    assert_eq!(job["items_affected"], 1);
    assert_eq!(shown(), ids(&[2, 3, 4, 5]));
    let archived = app
        .get(&format!("/api/v1/decisions/{}", made_id("dec", 1)))
        .ok();
    assert_eq!(archived["archived_at"], crate::harness::NOW);
    assert_eq!(archived["status"], "active");
    let listed = app.get("/api/v1/decisions?status=active").ok();
    assert_eq!(listed["decisions"].as_array().unwrap().len(), 5);
    let path = format!("/api/v1/consolidation/jobs/{}/undo", id(&job, "job_id"));
    app.post(&path, &json!({})).ok();
    assert_eq!(export(&app), before);
    run(&app, &only);
    assert_eq!(shown(), ids(&[2, 3, 4, 5]));
    assert_eq!(app.recall("anemometer at dawn")[0], made_id("dec", 1));
    // It is written at the end, at the latest.
    let app = app.restarted();
    let wake_up = app.get("/api/v1/wake-up").ok();
    assert_eq!(wake_up["recent_decisions"].as_array().unwrap().len(), 5);
}

#[test]
fn the_command_line_does_the_same_beside_a_server() {
    let app = consolidating("02:00");
    let handoff = hand_off(&app, 1, 31, &json!({}));
    let before = export(&app);
    let plans = cli(&app, &["--dry-run", "--type", "handoff_compression"]);
    assert_eq!(plans["plans"][0]["changes"][0]["id"], handoff.as_str());
    assert_eq!(export(&app), before);
    let ran = cli(&app, &["run", "--type", "handoff_compression"]);
    let job = id(&ran["jobs"][0], "job_id");
    assert_eq!(ran["jobs"][0]["status"], "completed");
    assert_eq!(level(&app, &handoff), "summary");
    let status = cli(&app, &["status"]);
    assert_eq!(status["last"][0]["job_id"], job.as_str());
    assert_eq!(cli(&app, &["jobs"])["jobs"].as_array().unwrap().len(), 1);
    let undone = cli(&app, &["undo", &job]);
    assert_eq!(undone["jobs"][0]["job_id"], job.as_str());
    assert_eq!(export(&app), before);
    // As text for people.
    let mut command = crate::process::command(app.file());
    let ran = command.args(["consolidate", "--dry-run"]).output().unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(
        text.contains("handoff_compression: 1 of 1 would change"),
        "{text}"
    );
}

/// So many rounds; `scripts/test --full consolidation` asks for more.
fn rounds() -> u32 {
    let asked = std::env::var_os("CONSOLIDATION_ROUNDS");
    asked.map_or(3, |rounds| rounds.to_string_lossy().parse().unwrap())
}

#[test]
fn a_run_that_is_killed_is_told_as_failed_and_the_next_one_completes_it() {
    const HANDOFFS: u32 = 150;
    let mut cut_off = 0;
    for round in 0..rounds() {
        let app = TestApp::start();
        for number in 0..HANDOFFS {
            hand_off(&app, number, 40 + i64::from(number), &json!({}));
        }
        let before = export(&app);
        let file = app.file().to_owned();
        let start = || {
            let mut command = crate::process::command(&file);
            command.args(["consolidate", "run", "--type", "handoff_compression"]);
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        };
        // Somewhere in the middle: when the first have changed, and then a little later in each round.
        let mut child = start();
        let least = u64::from(1 + round * 37 % 120);
        wait_for("some of it to be done", || {
            let ended = child.try_wait().unwrap().is_some();
            let page = app.get("/api/v1/consolidation/jobs").ok();
            let done = page["jobs"][0]["items_affected"].as_u64().unwrap_or(0);
            (ended || done >= least).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        is_well(&app);
        // The next start says what became of it, and that nobody has the turn any more.
        let app = app.restarted();
        let first = wait_for("the job to be ended", || {
            let page = app.get("/api/v1/consolidation/jobs").ok();
            let job = page["jobs"][0].clone();
            (job["status"] != "running").then_some(job)
        });
        if first["status"] != "completed" {
            cut_off += 1;
            assert_eq!(first["status"], "failed");
            assert!(id(&first, "error").contains("process ended"));
        }
        assert!(start().wait().unwrap().success());
        let page = app.get("/api/v1/consolidation/jobs").ok();
        let jobs = page["jobs"].as_array().unwrap();
        assert_eq!(jobs.len(), 2, "{jobs:#?}");
        assert_eq!(jobs[1]["status"], "completed");
        // Each handoff was shortened once, in one of the two.
        let affected: u64 = jobs
            .iter()
            .map(|job| job["items_affected"].as_u64().unwrap())
            .sum();
        assert_eq!(affected, u64::from(HANDOFFS));
        is_well(&app);
        // Both can be undone, and then everything is as before.
        for job in jobs.iter().rev() {
            let path = format!("/api/v1/consolidation/jobs/{}/undo", id(job, "job_id"));
            app.post(&path, &json!({})).ok();
        }
        assert_eq!(export(&app), before);
        is_well(&app);
    }
    // Or else it was killed when there was nothing left to kill.
    assert!(2 * cut_off > rounds(), "{cut_off} of {}", rounds());
}
