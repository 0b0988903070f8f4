//! The figures of a real tracker, and of times in which nobody was served.

use super::{List, Unit, Value, if_known};
use crate::results::{Silence, TrackerResult};

/// What became of a tracker's writes and requests.
pub fn tracker(figures: &mut List, tracker: &TrackerResult) {
    let TrackerResult {
        version: _,
        program_sha256: _,
        torrents,
        warming_writes,
        writes_asked_for,
        sequence_advanced_by,
        doubtful_writes,
        lost_writes,
        lost: _,
        unknown: _,
        receive_buffer_errors,
        receive_buffer_errors_are_its_own,
        requests_dropped,
        writes_withheld,
        aborted_requests,
        was_killed,
    } = tracker;
    figures.put("tracker_torrents", Unit::One, "Torrents that requests to the tracker were about", *torrents);
    let warming = "Writes of the tracker that made its clients known, before the load";
    figures.put("tracker_warming_writes", Unit::One, warming, *warming_writes);
    let asked = "Writes that clients asked the tracker for, under load";
    figures.put("tracker_writes_asked_for", Unit::One, asked, *writes_asked_for);
    let advanced = "By how much the sequence of the torrents has grown";
    figures.put("tracker_sequence_advanced_by", Unit::One, advanced, if_known(*sequence_advanced_by));
    let doubtful = "Writes that took as long as the tracker waits for a lock, or were asked for more than once";
    figures.put("tracker_doubtful_writes", Unit::One, doubtful, *doubtful_writes);
    let lost = "Writes that the tracker never made, although the client was answered";
    figures.put("tracker_lost_writes", Unit::One, lost, if_known(*lost_writes));
    let dropped = "Packets that the system dropped because the buffer of a socket was full";
    figures.put("receive_buffer_errors", Unit::One, dropped, if_known(*receive_buffer_errors));
    let own = "Whether those are of the tracker alone";
    figures.put("receive_buffer_errors_are_its_own", Unit::Word, own, *receive_buffer_errors_are_its_own);
    let dropped = "Packets to the tracker that the system dropped because the buffer of its socket was full";
    figures.put("requests_dropped", Unit::One, dropped, if_known(*requests_dropped));
    let withheld = "Writes that were not asked for before the load ended, because this program had waited for the end of another one";
    figures.put("writes_withheld", Unit::One, withheld, if_known(*writes_withheld));
    figures.put("aborted_requests", Unit::One, "Requests that the tracker says it gave up", *aborted_requests);
    let killed = "Whether the tracker did not end when it was asked to";
    figures.put("tracker_was_killed", Unit::Word, killed, Value::from(*was_killed));
}

/// A time in which nobody was served.
pub fn silence(figures: &mut List, silence: &Silence) {
    let Silence { started_s, duration_s, unserved, checkpoint_s } = silence;
    figures.put("silence_started", Unit::Seconds, "When a time began in which nobody was served", *started_s);
    figures.put("silence", Unit::Seconds, "How long nobody was served", *duration_s);
    let help = "Requests that were due while nobody was served, and not served in time";
    figures.put("silence_unserved", Unit::One, help, *unserved);
    figures.put("silence_checkpoint", Unit::Seconds, "How much of that time checkpoints took", *checkpoint_s);
}
