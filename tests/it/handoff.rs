//! Handoffs and the identity thread.

use serde_json::json;

use crate::harness::{TestApp, id, made_id, settled, texts};

#[test]
fn the_tutorial_of_the_older_interface_works() {
    let app = TestApp::start();
    let created = app
        .post(
            "/api/v1/handoff",
            &json!({
                "tenant_id": "default",
                "session_id": "my-first-session",
                "with_whom": "YourName",
                "experienced": "We set up the memory system together.",
                "noticed": "You prefer short answers.",
                "learned": "The server listens on port 3456.",
                "story": "We started from nothing and ended with a memory.",
                "becoming": "An assistant that remembers.",
                "remember": "Ask about the tide gauge next time.",
                "significance": 0.8,
                "tags": ["setup", "first-session"],
            }),
        )
        .created();
    insta::assert_snapshot!(settled(&created), @r#"
    {
      "success": true,
      "handoff_id": "sh_…",
      "created_at": "2026-03-01T09:30:00.000Z",
      "handoff": {
        "handoff_id": "sh_…",
        "tenant_id": "default",
        "session_id": "my-first-session",
        "with_whom": "YourName",
        "experienced": "We set up the memory system together.",
        "noticed": "You prefer short answers.",
        "learned": "The server listens on port 3456.",
        "story": "We started from nothing and ended with a memory.",
        "becoming": "An assistant that remembers.",
        "remember": "Ask about the tide gauge next time.",
        "significance": 0.8,
        "tags": [
          "setup",
          "first-session"
        ],
        "sensitivity": "none",
        "origin": "agent",
        "compression_level": "full",
        "created_at": "2026-03-01T09:30:00.000Z"
      }
    }
    "#);
    let wake_up = app
        .get("/api/v1/wake-up?tenant_id=default&with_whom=YourName")
        .ok();
    insta::assert_snapshot!(settled(&wake_up), @r#"
    {
      "last_handoff": {
        "handoff_id": "sh_…",
        "tenant_id": "default",
        "session_id": "my-first-session",
        "with_whom": "YourName",
        "experienced": "We set up the memory system together.",
        "noticed": "You prefer short answers.",
        "learned": "The server listens on port 3456.",
        "story": "We started from nothing and ended with a memory.",
        "becoming": "An assistant that remembers.",
        "remember": "Ask about the tide gauge next time.",
        "significance": 0.8,
        "tags": [
          "setup",
          "first-session"
        ],
        "sensitivity": "none",
        "origin": "agent",
        "compression_level": "full",
        "created_at": "2026-03-01T09:30:00.000Z"
      },
      "identity_thread": [
        {
          "handoff_id": "sh_…",
          "becoming": "An assistant that remembers.",
          "significance": 0.8,
          "created_at": "2026-03-01T09:30:00.000Z"
        }
      ],
      "recent_decisions": [],
      "knowledge": [],
      "layers": {
        "metadata": {
          "sessions": 1,
          "handoffs": 1,
          "first_at": "2026-03-01T09:30:00.000Z",
          "last_at": "2026-03-01T09:30:00.000Z",
          "with_whom": [
            "YourName"
          ],
          "topics": [
            "setup",
            "first-session"
          ]
        },
        "reflection": {
          "principles": [],
          "reflections": []
        },
        "recent": [
          {
            "handoff_id": "sh_…",
            "session_id": "my-first-session",
            "with_whom": "YourName",
            "created_at": "2026-03-01T09:30:00.000Z",
            "experienced": "We set up the memory system together.",
            "noticed": "You prefer short answers.",
            "learned": "The server listens on port 3456.",
            "story": "We started from nothing and ended with a memory.",
            "becoming": "An assistant that remembers.",
            "remember": "Ask about the tide gauge next time."
          }
        ],
        "progressive": []
      },
      "first_session": false,
      "estimated_tokens": 124,
      "context": "1 session, 1 handoff, 2026-03-01 to 2026-03-01; with YourName; about setup, first-session\n\n## Last session, 2026-03-01 with YourName\n- Remember: Ask about the tide gauge next time.\n- Learned: The server listens on port 3456.\n- Experienced: We set up the memory system together.\n- Noticed: You prefer short answers.\n- Story: We started from nothing and ended with a memory.\n\n## Becoming\n- 2026-03-01: An assistant that remembers.\n"
    }
    "#);
    let last = app
        .get("/api/v1/handoffs/last?tenant_id=default&with_whom=YourName")
        .ok();
    assert_eq!(last, created["handoff"]);
    let thread = app.get("/api/v1/identity-thread?tenant_id=default").ok();
    insta::assert_snapshot!(settled(&thread), @r#"
    {
      "tenant_id": "default",
      "total_statements": 1,
      "identity_thread": [
        {
          "handoff_id": "sh_…",
          "becoming": "An assistant that remembers.",
          "significance": 0.8,
          "created_at": "2026-03-01T09:30:00.000Z"
        }
      ]
    }
    "#);
}

#[test]
fn a_handoff_may_leave_out_all_but_one_text() {
    let app = TestApp::start();
    for field in [
        "experienced",
        "noticed",
        "learned",
        "story",
        "becoming",
        "remember",
    ] {
        let mut draft = json!({"session_id": field, "with_whom": "Ada"});
        draft[field] = json!("something");
        let created = app.post("/api/v1/handoffs", &draft).created();
        assert_eq!(created["handoff"][field], "something");
        assert_eq!(created["handoff"]["significance"], 0.5);
    }
    let empty = json!({"session_id": "s", "with_whom": "Ada", "learned": " \n", "story": ""});
    app.post("/api/v1/handoff", &empty)
        .blames(422, "experienced");
}

#[test]
fn a_handoff_is_read_by_its_id_and_listed() {
    let app = TestApp::start();
    let ids = ["Ada", "Bo", "Ada"].map(|person| {
        id(
            &app.hand_off(json!({"with_whom": person, "session_id": person}))
                .created(),
            "handoff_id",
        )
    });
    let read = app.get(&format!("/api/v1/handoffs/{}", ids[1])).ok();
    assert_eq!(read["with_whom"], "Bo");
    let listed = |query: &str| {
        texts(
            &app.get(&format!("/api/v1/handoffs?{query}")).ok()["handoffs"],
            "handoff_id",
        )
    };
    assert_eq!(listed(""), ids);
    assert_eq!(listed("with_whom=Ada"), [ids[0].clone(), ids[2].clone()]);
    assert_eq!(listed("session_id=Bo&order=desc"), [ids[1].clone()]);
    assert_eq!(listed("with_whom=Cy"), [""; 0]);
    app.get("/api/v1/handoffs/last?with_whom=Cy").problem(404);
    app.get(&format!("/api/v1/handoffs/{}", made_id("sh", 5)))
        .problem(404);
}

#[test]
fn paging_handoffs_by_ones_shows_each_once_in_both_directions() {
    let app = TestApp::start();
    let mut expected: Vec<_> = (0..6)
        .map(|index| {
            let project = ["p", "q"][index % 2];
            let draft = json!({"session_id": format!("s{index}"), "project_id": project});
            id(&app.hand_off(draft).created(), "handoff_id")
        })
        .collect();
    let free = app
        .hand_off(json!({"created_at": "2026-01-01T00:00:00Z", "session_id": "free"}))
        .created();
    expected.insert(0, id(&free, "handoff_id"));
    for (filter, order, reversed) in [
        ("", "asc", false),
        ("", "desc", true),
        ("&project_id=p", "asc", false),
        ("&project_id=p", "desc", true),
    ] {
        let mut want: Vec<_> = match filter {
            "" => expected.clone(),
            _ => [0, 1, 3, 5].map(|index| expected[index].clone()).to_vec(),
        };
        if reversed {
            want.reverse();
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app
                .get(&format!(
                    "/api/v1/handoffs?limit=1&order={order}{filter}{cursor}"
                ))
                .ok();
            seen.extend(texts(&page["handoffs"], "handoff_id"));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, want, "{filter} {order}");
    }
}

#[test]
fn a_read_with_a_project_also_shows_what_has_none() {
    let app = TestApp::start();
    for (session, project, text) in [
        ("a", json!("alpha"), "alpha quay"),
        ("b", json!("beta"), "beta quay"),
        ("n", json!(null), "free quay"),
    ] {
        app.hand_off(json!({"session_id": session, "project_id": project, "remember": text}))
            .created();
        app.record(
            json!({"session_id": session, "project_id": project, "content": {"text": text}}),
        )
        .created();
    }
    let sessions = |query: &str| {
        texts(
            &app.get(&format!("/api/v1/handoffs{query}")).ok()["handoffs"],
            "session_id",
        )
    };
    assert_eq!(sessions("?project_id=alpha"), ["a", "n"]);
    assert_eq!(sessions("?project_id=unheard-of"), ["n"]);
    assert_eq!(sessions(""), ["a", "b", "n"]);
    let recent = |query: &str| {
        let wake_up = app.get(&format!("/api/v1/wake-up{query}")).ok();
        texts(&wake_up["layers"]["recent"], "session_id")
    };
    assert_eq!(recent("?project_id=beta"), ["n", "b"]);
    assert_eq!(recent("?project_id=unheard-of"), ["n"]);
    let found = app.recall_with(json!({"query": "quay", "project_id": "alpha"}));
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(
        app.recall_with(json!({"query": "quay", "project_id": "unheard-of"}))
            .len(),
        2
    );
    assert_eq!(app.recall("quay").len(), 6);
}

#[test]
fn a_later_automatic_handoff_replaces_the_earlier_one_of_its_session() {
    let app = TestApp::start();
    let first = app
        .hand_off(json!({"origin": "automatic", "experienced": "first draft"}))
        .created();
    let second = app
        .hand_off(json!({"origin": "automatic", "experienced": "second draft"}))
        .created();
    app.hand_off(json!({"origin": "automatic", "session_id": "other"}))
        .created();
    app.get(&format!("/api/v1/handoffs/{}", id(&first, "handoff_id")))
        .problem(404);
    let listed = app.get("/api/v1/handoffs?session_id=s1").ok();
    assert_eq!(
        texts(&listed["handoffs"], "handoff_id"),
        [id(&second, "handoff_id")]
    );
    assert_eq!(
        app.metric("agent_memory_handoffs_total{compression_level=\"all\"}"),
        2.0
    );
    assert_eq!(app.recall("first draft"), app.recall("draft"));
}

#[test]
fn the_agents_own_handoff_wins_over_an_automatic_one() {
    let app = TestApp::start();
    app.hand_off(json!({"origin": "automatic", "experienced": "seen by a hook"}))
        .created();
    let own = app
        .hand_off(json!({"experienced": "in my own words"}))
        .created();
    let late = app
        .hand_off(json!({"origin": "automatic", "experienced": "seen by a hook again"}))
        .created();
    assert_eq!(late["handoff_id"], own["handoff_id"]);
    assert_eq!(late["handoff"], own["handoff"]);
    let listed = app.get("/api/v1/handoffs").ok();
    assert_eq!(
        texts(&listed["handoffs"], "handoff_id"),
        [id(&own, "handoff_id")]
    );
    assert_eq!(app.recall("hook"), [""; 0]);
    // A second one of its own stands beside the first.
    app.hand_off(json!({"experienced": "one more thing"}))
        .created();
    assert_eq!(
        app.get("/api/v1/handoffs").ok()["handoffs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn the_same_id_again_gets_the_same_answer_and_other_words_are_a_conflict() {
    let app = TestApp::start();
    let draft = json!({"handoff_id": made_id("sh", 1), "learned": "ports"});
    let first = app.hand_off(draft.clone()).created();
    app.advance_hours(1);
    assert_eq!(app.hand_off(draft).created(), first);
    app.hand_off(json!({"handoff_id": made_id("sh", 1), "learned": "harbours"}))
        .problem(409);
    assert_eq!(
        app.metric("agent_memory_handoffs_total{compression_level=\"full\"}"),
        1.0
    );
}

#[test]
fn what_is_out_of_bounds_is_named() {
    let app = TestApp::start();
    let fits = "x".repeat(65_536);
    let created = app
        .hand_off(json!({"experienced": fits, "story": fits, "remember": fits}))
        .created();
    assert_eq!(created["handoff"]["story"], fits);
    for (field, over) in [
        ("story", json!({"story": "x".repeat(65_537)})),
        ("significance", json!({"significance": 1.01})),
        ("significance", json!({"significance": -0.1})),
        ("significance", json!({"significance": "much"})),
        ("with_whom", json!({"with_whom": ""})),
        ("with_whom", json!({"with_whom": "a\nb"})),
        ("session_id", json!({"session_id": " "})),
        ("tags", json!({"tags": vec!["t"; 65]})),
        ("tags", json!({"tags": "t"})),
        ("origin", json!({"origin": "dream"})),
        ("sensitivity", json!({"sensitivity": "extreme"})),
        ("handoff_id", json!({"handoff_id": "sh_xyz"})),
        (
            "created_at",
            json!({"created_at": "2026-03-02T09:30:00.001Z"}),
        ),
        ("created_at", json!({"created_at": "soon"})),
        ("becomming", json!({"becomming": "a typo"})),
    ] {
        app.hand_off(over).blames(422, field);
    }
    app.hand_off(json!({"created_at": "2026-03-02T09:30:00Z", "significance": 1}))
        .created();
}

#[test]
fn the_identity_thread_is_in_the_order_of_time() {
    let app = TestApp::start();
    for (text, at) in [
        ("third", "2026-01-03"),
        ("first", "2026-01-01"),
        ("second", "2026-01-02"),
    ] {
        app.hand_off(
            json!({"becoming": text, "created_at": format!("{at}T00:00:00Z"), "session_id": text}),
        )
        .created();
    }
    app.hand_off(json!({"session_id": "silent"})).created();
    let thread = app.get("/api/v1/identity-thread").ok();
    assert_eq!(thread["total_statements"], 3);
    assert_eq!(
        texts(&thread["identity_thread"], "becoming"),
        ["first", "second", "third"]
    );
    let newest = app.get("/api/v1/identity-thread?limit=2").ok();
    assert_eq!(
        texts(&newest["identity_thread"], "becoming"),
        ["second", "third"]
    );
    assert_eq!(newest["total_statements"], 3);
    let nobody = app.get("/api/v1/identity-thread?tenant_id=nobody").ok();
    assert_eq!(
        nobody,
        json!({"tenant_id": "nobody", "total_statements": 0, "identity_thread": []})
    );
}

#[test]
fn a_text_of_white_space_is_no_statement() {
    let app = TestApp::start();
    app.hand_off(json!({"becoming": "  \n"})).created();
    let thread = app.get("/api/v1/identity-thread").ok();
    assert_eq!(thread["identity_thread"], json!([]));
    assert_eq!(thread["total_statements"], 0);
}

#[test]
fn sensitive_handoffs_stay_where_they_may_be_heard() {
    let app = TestApp::start();
    let ids = ["none", "low", "high", "secret"].map(|level| {
        let draft = json!({"session_id": level, "sensitivity": level, "becoming": format!("{level} quay"), "with_whom": level});
        id(&app.hand_off(draft).created(), "handoff_id")
    });
    for (channel, count) in [("public", 2), ("agent", 2), ("private", 3), ("team", 3)] {
        let listed = app.get(&format!("/api/v1/handoffs?channel={channel}")).ok();
        assert_eq!(
            texts(&listed["handoffs"], "handoff_id"),
            ids[..count],
            "{channel}"
        );
        let last = app
            .get(&format!("/api/v1/handoffs/last?channel={channel}"))
            .ok();
        assert_eq!(last["handoff_id"], ids[count - 1], "{channel}");
        let thread = app
            .get(&format!("/api/v1/identity-thread?channel={channel}"))
            .ok();
        assert_eq!(
            texts(&thread["identity_thread"], "handoff_id"),
            ids[..count],
            "{channel}"
        );
        assert_eq!(
            app.recall_with(json!({"query": "quay", "channel": channel}))
                .len(),
            count,
            "{channel}"
        );
        let found = app
            .get(&format!("/api/v1/search?q=quay&channel={channel}"))
            .ok();
        assert_eq!(found["hits"].as_array().unwrap().len(), count, "{channel}");
        for topic in ["", "&topic=quay"] {
            let wake_up = app
                .get(&format!(
                    "/api/v1/wake-up?channel={channel}&recent_count=1{topic}"
                ))
                .ok();
            let text = wake_up.to_string();
            for hidden in ["none", "low", "high", "secret"].iter().skip(count) {
                assert!(
                    !text.contains(&format!("{hidden} quay")),
                    "{channel} {hidden} {text}"
                );
                assert!(
                    !text.contains(&format!("\"with_whom\":\"{hidden}\"")),
                    "{channel} {hidden} {text}"
                );
            }
        }
    }
    let secret = format!("/api/v1/handoffs/{}", ids[3]);
    app.get(&secret).ok();
    for channel in ["public", "team", "agent"] {
        app.get(&format!("{secret}?channel={channel}")).problem(404);
    }
}

#[test]
fn a_count_tells_no_more_than_the_list_that_it_counts() {
    let app = TestApp::start();
    app.hand_off(json!({"sensitivity": "secret", "becoming": "a keeper of secrets"}))
        .created();
    for channel in ["private", "public"] {
        let thread = app
            .get(&format!("/api/v1/identity-thread?channel={channel}"))
            .ok();
        assert_eq!(thread["total_statements"], 0, "{channel}");
        let wake_up = app.get(&format!("/api/v1/wake-up?channel={channel}")).ok();
        assert_eq!(wake_up["layers"]["metadata"]["handoffs"], 0, "{channel}");
    }
}

#[test]
fn a_page_of_long_handoffs_ends_early_and_goes_on() {
    let app = TestApp::start();
    let long = "·".repeat(32_000);
    let sent: Vec<_> = (0..30)
        .map(|index| {
            let project = if index % 3 == 0 { json!(null) } else { json!("p") };
            let draft = json!({
                "session_id": format!("s{index}"), "project_id": project, "experienced": long, "noticed": long,
                "learned": long, "story": long, "becoming": long, "remember": long,
            });
            id(&app.hand_off(draft).created(), "handoff_id")
        })
        .collect();
    for (filter, order) in [
        ("", "asc"),
        ("&project_id=p", "asc"),
        ("&project_id=p", "desc"),
    ] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.get(&format!(
                "/api/v1/handoffs?limit=1000&order={order}{filter}{cursor}"
            ));
            // What a project has and what has none are read side by side, each up to a page's bytes.
            let parts = if filter.is_empty() { 1 } else { 2 };
            assert!(
                page.body.len() < parts * 9 * 1024 * 1024,
                "{}",
                page.body.len()
            );
            let page = page.ok();
            seen.extend(texts(&page["handoffs"], "handoff_id"));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        if order == "desc" {
            seen.reverse();
        }
        assert_eq!(seen, sent, "{filter} {order}");
    }
    let wake_up = app.get("/api/v1/wake-up?recent_count=20").ok();
    assert_eq!(wake_up["last_handoff"]["handoff_id"], sent[29]);
    assert!(wake_up["estimated_tokens"].as_u64().unwrap() <= 2_000);
}
