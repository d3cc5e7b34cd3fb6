use shared::chain::ChainHash;
use shared::ids::ClusterId;
use shared::message::Storage;

use super::*;

#[test]
fn what_a_former_life_says_late_counts_for_nothing() {
    let config = Config::new(3);
    let name: Name = "replica-1".parse().unwrap();
    let mut replicas = Replicas::default();
    let mut hear = |instance, durable_below| {
        replicas.hear(
            &config,
            Duration::from_secs(1),
            Slot(0),
            Heartbeat {
                cluster: ClusterId(1),
                replica: name.clone(),
                instance: Instance(instance),
                url: String::new(),
                view: None,
                executed_below: Slot(durable_below),
                hash: ChainHash::default(),
                durable_below: Slot(durable_below),
                highest_format: LogFormat::FIRST,
                storage: Storage::Writable,
                nudge_below: None,
            },
        );
        let heard = replicas.get(&name).unwrap();
        (heard.instance, heard.durable_below)
    };
    assert_eq!(hear(1, 1_000), (Instance(1), Slot(1_000)));
    assert_eq!(hear(2, 0), (Instance(2), Slot(0)), "it lost its disk and is back");
    assert_eq!(hear(1, 1_000), (Instance(2), Slot(0)), "late");
    assert_eq!(hear(2, 7), (Instance(2), Slot(7)));
}

#[test]
fn a_life_that_goes_on_speaking_outlasts_the_late_word_of_a_dead_one() {
    // A coordinator that was just started hears the present life first, and then what
    // the one before it had said.
    let config = Config::new(3);
    let name: Name = "replica-1".parse().unwrap();
    let mut replicas = Replicas::default();
    let mut hear = |at_ms, instance| {
        let (cluster, replica) = (ClusterId(1), name.clone());
        let (instance, url, durable) = (Instance(instance), String::new(), Slot(0));
        let (executed_below, durable_below) = (durable, durable);
        let heartbeat = Heartbeat {
            cluster,
            replica,
            instance,
            url,
            view: None,
            executed_below,
            hash: ChainHash::default(),
            durable_below,
            highest_format: LogFormat::FIRST,
            storage: Storage::Writable,
            nudge_below: None,
        };
        replicas.hear(&config, Duration::from_millis(at_ms), Slot(0), heartbeat);
        replicas.get(&name).unwrap().instance
    };
    let (dead, present) = (Instance(1), Instance(2));
    assert_eq!(hear(1_000, 2), present);
    assert_eq!(hear(1_001, 1), dead, "nobody knows which of them is the older");
    let believed: Vec<Instance> = (1..=7).map(|beat| hear(1_000 + 100 * beat, 2)).collect();
    assert_eq!(believed, [dead, dead, dead, dead, dead, dead, present]);
    assert_eq!(hear(1_750, 1), present, "late once more");
}

#[test]
fn a_primary_is_whom_two_replicas_name_or_who_was_proposed_or_whom_nobody_disputes() {
    let config = Config::new(3);
    let name = |name: &str| -> Name { name.parse().unwrap() };
    let (one, two) = (name("replica-1"), name("replica-2"));
    let primary = |told: &[(&str, u64, &str)], proposed: Option<&Name>| {
        let mut replicas = Replicas::default();
        for (replica, epoch, primary) in told {
            let view = View {
                epoch: Epoch(*epoch),
                primary: name(primary),
                primary_instance: Instance(1),
                backups: Vec::new(),
                format: LogFormat::FIRST,
            };
            let heartbeat = Heartbeat {
                cluster: ClusterId(1),
                replica: name(replica),
                instance: Instance(1),
                url: String::new(),
                view: Some(view),
                executed_below: Slot(0),
                hash: ChainHash::default(),
                durable_below: Slot(0),
                highest_format: LogFormat::FIRST,
                storage: Storage::Writable,
                nudge_below: None,
            };
            replicas.hear(&config, Duration::from_secs(1), Slot(0), heartbeat);
        }
        replicas.primary_of(Epoch(2), proposed).cloned()
    };
    let (liar, honest) = (("replica-1", 2, "replica-1"), ("replica-2", 2, "replica-2"));
    assert_eq!(primary(&[], None), None);
    assert_eq!(primary(&[("replica-1", 1, "replica-1")], None), None, "of another epoch");
    assert_eq!(primary(&[], Some(&two)), Some(two.clone()), "nobody has executed it yet");
    assert_eq!(primary(&[honest], None), Some(two.clone()), "the only one that there is");
    assert_eq!(primary(&[liar], Some(&two)), Some(two.clone()));
    assert_eq!(primary(&[liar, honest], None), None, "one word against another");
    assert_eq!(primary(&[liar, honest], Some(&two)), Some(two.clone()));
    let third = ("replica-3", 2, "replica-2");
    assert_eq!(primary(&[liar, honest, third], None), Some(two.clone()));
    assert_eq!(primary(&[liar, honest, third], Some(&one)), Some(two), "as it was chosen");
}
