//! The scenario of the tests that run one.

/// A scenario of some three seconds of load on 3,000 torrents.
pub const SCENARIO: &str = r#"
why = "a test"
expect = "that it passes"
[dataset]
rows = 3000
[sqlite]
journal_mode = ["delete", "wal"]
page_size_bytes = 1024
[load]
rate_ops = 1500
completed_share = 0.2
new_torrent_share = 0.2
[snapshots]
strategies = ["vacuum-into"]
deadline_s = 2
[phases]
warmup_s = 0.1
baseline_s = 0.3
recovery_s = 0
"#;
