//! What a question may be written like: names, scripts, slips of the pen.
//!
//! **Invariant:** each table of questions has decoys that share a part with what is looked for.

use serde_json::{Value, json};

use crate::harness::TestApp;
use crate::recall_rank::{hits, ids, remember, tell, unrelated};

/// The questions whose first hit is not the text it should be.
fn missed<'a>(app: &TestApp, cases: &[(&'a str, &'a str)], told: &[(&str, String)]) -> Vec<String> {
    let mut missed = Vec::new();
    for (query, wanted) in cases {
        let (_, wanted_id) = told
            .iter()
            .find(|(text, _)| text.contains(wanted))
            .unwrap_or_else(|| panic!("nothing says {wanted}"));
        let found = hits(app, json!({"query": query}));
        if ids(&found).first() != Some(&wanted_id.as_str()) {
            let first = found.first().map_or(&Value::Null, |hit| &hit["text"]);
            missed.push(format!("{query:?}: {first} instead of {wanted:?}"));
        }
    }
    missed
}

fn told<'a>(app: &TestApp, texts: &[&'a str]) -> Vec<(&'a str, String)> {
    let tell = |text: &&'a str| (*text, remember(app, text));
    texts.iter().map(tell).collect()
}

#[test]
fn names_are_found_whole_in_parts_and_in_another_style() {
    let app = TestApp::start();
    unrelated(&app, "default", 60);
    let told = told(
        &app,
        &[
            "The lock lives in src/store/mod.rs since Monday.",
            "The routes live in src/http/routes.rs since Monday.",
            "Nobody reads src/store/turn.rs any more.",
            "Raise max_retry_count before the demo.",
            "Raise connectTimeoutMillis before the demo.",
            "Set TIDE_GAUGE_BAUD to nothing.",
            "HarbourMasterView flickers on resize.",
            "rustc says E0308 at the closure.",
            "rustc says E0277 at the closure.",
            "The second writer got SQLITE_BUSY after lunch.",
            "The second writer got SQLITE_FULL after lunch.",
            "The proxy answered ECONNREFUSED twice.",
            "The proxy answered ETIMEDOUT twice.",
            "We ship v0.14.2 to the pilots.",
            "We ship v0.14.3 to the owners.",
            "The regression came in with 9f3c2ab and was reverted.",
            "The merge is 4b825dc642cb6eb9a060e54bf8d69288fbee4904 on main.",
            "Read https://docs.example.org/tide/gauges?page=7 first.",
            "Read https://blog.example.net/winches first.",
            "The simulator is written in C++ by the intern.",
            "The firmware is written in Ada by the intern.",
            "Wrap the map in std::sync::Arc and be done.",
            "Wrap the map in std::cell::RefCell and be done.",
            "Ticket HARB-1234 waits for the crane.",
            "Ticket HARB-1235 waits for the crane.",
            "Mail goes to quay.master@example.org alone.",
            "kubectl wants --grace-period=30 there.",
            "The camera is at 10.0.42.17 behind the shed.",
        ],
    );
    let cases = [
        ("src/store/mod.rs", "src/store/mod.rs"),
        ("mod.rs", "src/store/mod.rs"),
        ("store/mod.rs", "src/store/mod.rs"),
        ("what is in store/mod.rs?", "src/store/mod.rs"),
        ("routes.rs", "routes.rs"),
        ("store/turn.rs", "turn.rs"),
        ("max_retry_count", "max_retry_count"),
        ("maxRetryCount", "max_retry_count"),
        ("MAX_RETRY_COUNT", "max_retry_count"),
        ("max-retry-count", "max_retry_count"),
        ("retry count", "max_retry_count"),
        ("connectTimeoutMillis", "connectTimeoutMillis"),
        ("connect_timeout_millis", "connectTimeoutMillis"),
        ("connect timeout", "connectTimeoutMillis"),
        ("tide_gauge_baud", "TIDE_GAUGE_BAUD"),
        ("tideGaugeBaud", "TIDE_GAUGE_BAUD"),
        ("gauge baud", "TIDE_GAUGE_BAUD"),
        ("harbour_master_view", "HarbourMasterView"),
        ("harbour master view", "HarbourMasterView"),
        ("E0308", "E0308"),
        ("e0308", "E0308"),
        ("error E0277", "E0277"),
        ("SQLITE_BUSY", "SQLITE_BUSY"),
        ("sqlite busy", "SQLITE_BUSY"),
        ("SqliteBusy", "SQLITE_BUSY"),
        ("sqlite_full", "SQLITE_FULL"),
        ("ECONNREFUSED", "ECONNREFUSED"),
        ("econnrefused", "ECONNREFUSED"),
        ("v0.14.2", "v0.14.2"),
        ("0.14.2", "v0.14.2"),
        ("version 0.14.3", "v0.14.3"),
        ("9f3c2ab", "9f3c2ab"),
        ("9F3C2AB", "9f3c2ab"),
        (
            "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            "4b825dc642cb6eb9",
        ),
        (
            "https://docs.example.org/tide/gauges?page=7",
            "docs.example.org",
        ),
        ("docs.example.org", "docs.example.org"),
        ("https://docs.example.org/tide/gauges", "docs.example.org"),
        ("example.org/tide/gauges", "docs.example.org"),
        ("blog.example.net", "blog.example.net"),
        ("C++", "C++"),
        ("what is written in C++?", "C++"),
        ("std::sync::Arc", "std::sync::Arc"),
        ("sync::Arc", "std::sync::Arc"),
        ("Arc", "std::sync::Arc"),
        ("RefCell", "RefCell"),
        ("ref_cell", "RefCell"),
        ("HARB-1234", "HARB-1234"),
        ("harb-1235", "HARB-1235"),
        ("quay.master@example.org", "quay.master"),
        ("--grace-period", "--grace-period"),
        ("grace period", "--grace-period"),
        ("10.0.42.17", "10.0.42.17"),
    ];
    let missed = missed(&app, &cases, &told);
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn every_script_is_found() {
    let app = TestApp::start();
    unrelated(&app, "default", 30);
    let told = told(
        &app,
        &[
            "数据库连接池的大小是十六",
            "我们决定使用嵌入式引擎",
            "潮位計のポートは502です",
            "会議は来週の木曜日に延期されました",
            "データベースの移行が失敗した",
            "데이터베이스 연결 풀은 열여섯 개이다",
            "회의가 다음 주 목요일로 연기되었습니다",
            "ท่าเรือเปิดตอนหกโมงเช้า",
            "เครื่องวัดระดับน้ำเสีย",
            "Сервер упал в полночь",
            "Насос чинили два дня",
            "Straße nach Łódź, naïve café",
            "Die Datensicherung läuft nachts auf dem Zweitrechner.",
            "Der Bürgermeister prüft die Schleuse.",
            "Το λιμάνι κλείνει νωρίς",
            "המעגן נסגר בשבת",
            "الميناء مغلق اليوم",
            "कल बंदरगाह बंद रहेगा",
            "The 潮汐 sensor reports to сервак every noon",
        ],
    );
    let cases = [
        ("连接池", "数据库连接池"),
        ("数据库连接池有多大?", "数据库连接池"),
        ("嵌入式引擎", "嵌入式"),
        ("潮位計", "潮位計"),
        ("潮位計のポート番号は?", "潮位計"),
        ("会議はいつですか", "会議"),
        ("データベース", "データベース"),
        ("ﾃﾞｰﾀﾍﾞｰｽ", "データベース"),
        ("데이터베이스", "데이터베이스"),
        ("데이터베이스의 연결", "데이터베이스"),
        ("회의는 언제?", "회의가"),
        ("ท่าเรือ", "ท่าเรือ"),
        ("เครื่องวัดระดับน้ำ", "เครื่องวัด"),
        ("сервер", "Сервер"),
        ("СЕРВЕР УПАЛ", "Сервер"),
        ("насос", "Насос"),
        ("naive cafe", "naïve"),
        ("NAÏVE CAFÉ", "naïve"),
        ("strasse", "Straße"),
        ("Łodź", "Łódź"),
        ("Datensicherung", "Datensicherung"),
        ("datensicherung nachts", "Datensicherung"),
        ("Burgermeister", "Bürgermeister"),
        ("BÜRGERMEISTER", "Bürgermeister"),
        ("λιμάνι", "λιμάνι"),
        ("λιμανι", "λιμάνι"),
        ("המעגן", "המעגן"),
        ("الميناء", "الميناء"),
        ("बंदरगाह", "बंदरगाह"),
        ("潮汐 sensor сервак", "潮汐"),
        ("潮汐 сервак", "潮汐"),
        ("sensor 潮汐", "潮汐"),
        ("ｓｅｎｓｏｒ", "sensor"),
    ];
    let missed = missed(&app, &cases, &told);
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_slip_in_a_rare_word_is_mended() {
    let app = TestApp::start();
    unrelated(&app, "default", 60);
    let told = told(
        &app,
        &[
            "The anemometer was calibrated by Brigitte.",
            "Kubernetes evicted the whole fleet.",
            "Tourmaline is what the skipper collects.",
            "The bollard at berth nine is loose.",
            "Prometheus scrapes the lighthouse.",
            "Eduardo keeps the hydrophone logs.",
        ],
    );
    let cases = [
        ("anemmometer", "anemometer"),
        ("anemoeter", "anemometer"),
        ("anemomeetr", "anemometer"),
        ("anemomeder", "anemometer"),
        ("naemometer", "anemometer"),
        ("aanemometer", "anemometer"),
        ("kubernets", "Kubernetes"),
        ("kuberentes", "Kubernetes"),
        ("kubbernetes", "Kubernetes"),
        ("ukbernetes", "Kubernetes"),
        ("skubernetes", "Kubernetes"),
        ("tourmalin", "Tourmaline"),
        ("tuormaline", "Tourmaline"),
        ("tourmalline", "Tourmaline"),
        ("bolard", "bollard"),
        ("bollart", "bollard"),
        ("blolard", "bollard"),
        ("promehteus", "Prometheus"),
        ("what does promethius scrape?", "Prometheus"),
        ("hydrophonne", "hydrophone"),
        ("hydrofone logs", "hydrophone"),
        ("who calibrated the anenometer", "anemometer"),
    ];
    let missed = missed(&app, &cases, &told);
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_word_that_occurs_and_a_number_stay_as_they_were_typed() {
    let app = TestApp::start();
    unrelated(&app, "default", 200);
    let told = told(
        &app,
        &[
            "The supervisor approves overtime.",
            "The hypervisor crashed at four.",
            "A marlin was seen.",
            "A merlin was seen.",
            "The pilot listens on 50023.",
            "rustc says E0308 there.",
            "We pinned v0.14.2 there.",
            "Ticket HARB-1234 is open.",
            "The merge was 9f3c2ab there.",
        ],
    );
    for (query, only) in [
        ("supervisor", "supervisor"),
        ("hypervisor", "hypervisor"),
        ("marlin", "marlin"),
        ("merlin", "merlin"),
    ] {
        let found = hits(&app, json!({"query": query}));
        assert_eq!(found.len(), 1, "{query}: {found:#?}");
        assert!(found[0]["text"].as_str().unwrap().contains(only), "{query}");
    }
    let named: Vec<&str> = told.iter().map(|(_, id)| id.as_str()).collect();
    for query in [
        "50024",
        "50032",
        "E0309",
        "E0380",
        "v0.14.7",
        "0.14.7",
        "HARB-1243",
        "9f3c2ac",
    ] {
        let found = hits(&app, json!({"query": query}));
        let wrong: Vec<&str> = ids(&found)
            .into_iter()
            .filter(|id| named.contains(id))
            .collect();
        // The parts of a ticket's or a version's name are words that do occur.
        let parts = query.contains('-') || query.contains('.');
        assert!(wrong.is_empty() || parts, "{query}: {found:#?}");
    }
}

#[test]
fn nothing_that_is_not_the_readers_mends_a_word() {
    let app = TestApp::start();
    unrelated(&app, "default", 40);
    remember(&app, "The anemograph is on the shed.");
    tell(
        &app,
        json!({"sensitivity": "secret", "content": {"text": "the tourmaline is buried"}}),
    );
    tell(
        &app,
        json!({"sensitivity": "high", "content": {"text": "the bathysphere is for sale"}}),
    );
    let ask = |query: &str, channel: &str| {
        let body = json!({"query": query, "channel": channel});
        app.post("/api/v1/recall", &body).is(200).text()
    };
    let queries = [
        "anemometter",
        "anemogarph",
        "xylografer",
        "xylogarpher shed",
    ];
    let before = queries.map(|query| ask(query, "private"));
    for text in [
        "anemometer",
        "anemometer anemometer",
        "xylographer",
        "anemogarph",
    ] {
        tell(
            &app,
            json!({"tenant_id": "other", "content": {"text": format!("The {text} came.")}}),
        );
    }
    assert_eq!(queries.map(|query| ask(query, "private")), before);
    // Neither does what the reader may not see.
    for (query, hidden, channel) in [
        ("tuormaline", "tourmaline", "private"),
        ("tourmalin", "tourmaline", "private"),
        ("bathyspere", "bathysphere", "public"),
        ("bathyspere", "bathysphere", "agent"),
    ] {
        let answer = ask(query, channel);
        assert!(!answer.contains(&hidden[..8]), "{query}: {answer}");
    }
    assert!(ask("bathyspere", "team").contains("for sale"));
}
