//! Second opinions on DNS messages: the crates `domain` and `hickory-proto`, and where they may differ from us.
//!
//! | we say | they say | why that is right |
//! |---|---|---|
//! | a fault of [`STRICT`] | it is fine | the RFC named there forbids it; `domain` or `hickory-proto` do not look, or look when it is used |
//! | a fault in data of [`UNREAD`] | it is fine | they do not read such data |
//! | fine, with a type of [`LOOSE`] | a fault | they know more about the type's data than its shape (algorithms, values), or keep older rules |
//! | fine | `hickory-proto`: a fault | it also refuses what a server may send: see [`hickory`] |
use domain::base::Message as DomainMessage;
use domain::base::iana::Class as DomainClass;
use domain::base::name::ToName;
use domain::base::rdata::ComposeRecordData;
use domain::rdata::AllRecordData;
use hickory_proto::op::Message as HickoryMessage;
use hickory_proto::serialize::binary::BinDecodable;
use proto_core::dns::{Message, Record, Type, Value};

/// What a message holds: owner, type, class, TTL and data without compression, of each record.
pub type Held = Vec<(Vec<u8>, u16, u16, u32, Vec<u8>)>;

/// What we refuse and `domain` takes.
pub const STRICT: &[(&str, &str)] = &[
    ("compressed name where none may be", "RFC 3597 4: `domain` reads it all the same"),
    ("two OPT records", "RFC 6891 6.1.1: a rule about the message, which `domain` leaves to its user"),
    (
        "compression pointer into the header",
        "RFC 1035 4.1.4: a name is where a name was; `domain` takes any earlier offset",
    ),
    ("compression pointer into its own name", "the loop ends at 255 bytes there"),
    ("labels that run into the pointer to them", "RFC 1035 4.1.4: a prior name; `domain` looks only within data"),
    ("no text where there must be one", "RFC 1035 3.3.14: `domain` takes TXT without a text"),
    ("empty tag", "RFC 8659 4.1"),
    ("tag of other than letters and digits", "RFC 8659 4.1"),
    ("empty hash", "RFC 5155 3.2"),
    ("bad value of a parameter", "RFC 9460 7: `domain` looks when the parameter is used"),
    ("parameters out of order", "RFC 9460 2.2"),
];

/// Types whose data we take by its shape, and `domain` by its meaning or not at all.
pub const LOOSE: &[(Type, &str)] = &[
    (Type::OPT, "`domain` reads the options it knows; we read their lengths"),
    (Type::NAPTR, "flags of other than letters and digits"),
    (Type::ZONEMD, "a digest shorter than 12 bytes"),
    (Type::SVCB, "parameters twice"),
    (Type::HTTPS, "parameters twice"),
    (Type::TSIG, "we do not look into it"),
    (Type::NSEC, "bitmaps with empty windows"),
    (Type::NULL, "as it is"),
];

/// Types that we read and `domain` does not: it takes any data of theirs.
pub const UNREAD: &[Type] = &[
    Type::RP,
    Type::AFSDB,
    Type::X25,
    Type::ISDN,
    Type::RT,
    Type::SIG,
    Type::KEY,
    Type::PX,
    Type::LOC,
    Type::KX,
    Type::CERT,
    Type::DHCID,
    Type::SMIMEA,
    Type::CSYNC,
    Type::SPF,
    Type::NID,
    Type::L32,
    Type::L64,
    Type::LP,
    Type::EUI48,
    Type::EUI64,
    Type::URI,
    Type::RESINFO,
    Type::CAA,
    Type::TLSA,
    Type::OPENPGPKEY,
];

/// Types whose data `hickory-proto` reads when it is built without DNSSEC.
pub const HICKORY_READS: &[Type] = &[
    Type::A,
    Type::AAAA,
    Type::NS,
    Type::CNAME,
    Type::PTR,
    Type::SOA,
    Type::MX,
    Type::TXT,
    Type::SRV,
    Type::HINFO,
    Type::NAPTR,
    Type::CAA,
    Type::SVCB,
    Type::HTTPS,
    Type::TLSA,
    Type::SSHFP,
    Type::OPT,
];

/// The types of a message's records, up to a fault.
pub fn kinds(bytes: &[u8]) -> Vec<Type> {
    let records = Message::parse(bytes).and_then(|m| m.records());
    records.into_iter().flatten().flatten().map(|r| r.kind).collect()
}

/// What we hold of a message.
///
/// # Errors
/// The fault.
pub fn ours(bytes: &[u8]) -> Result<Held, proto_core::Fault> {
    let m = Message::parse(bytes)?;
    m.check()?;
    m.records()?.map(|r| r.map(|r| held(&r))).collect()
}

fn held(r: &Record<'_>) -> (Vec<u8>, u16, u16, u32, Vec<u8>) {
    let (mut fields, mut data) = (r.fields(), Vec::new());
    let (start, _) = r.span();
    loop {
        let from = fields.offset() - start;
        match fields.next() {
            Some(Ok(Value::Name(n) | Value::PlainName(n))) => data.extend_from_slice(n.to_domain().wire()),
            Some(Ok(_)) => data.extend_from_slice(r.data().get(from..fields.offset() - start).unwrap_or_default()),
            _ => break,
        }
    }
    (r.name.to_domain().wire().to_vec(), r.kind.0, r.class.0, r.ttl, data)
}

/// What `domain` holds of it.
///
/// # Errors
/// Its words.
pub fn theirs(bytes: &[u8]) -> Result<Held, String> {
    let m = DomainMessage::from_octets(bytes).map_err(|e| e.to_string())?;
    for q in m.question() {
        q.map_err(|e| e.to_string())?;
    }
    let mut all = Held::new();
    for record in m.iter() {
        let (record, _) = record.map_err(|e| e.to_string())?;
        let owner = ToName::to_vec(&record.owner()).as_slice().to_vec();
        let (class, ttl) = (record.class(), record.ttl().as_secs());
        let kind = record.rtype().to_int();
        let record = record.into_record::<AllRecordData<_, _>>().map_err(|e| e.to_string())?;
        let mut data = Vec::new();
        if let Some(record) = record {
            record.data().compose_rdata(&mut data).map_err(|e| e.to_string())?;
        }
        all.push((owner, kind, DomainClass::to_int(class), ttl, data));
    }
    Ok(all)
}

/// Whether `hickory-proto` takes it.
pub fn hickory(bytes: &[u8]) -> Result<usize, String> {
    let m = HickoryMessage::from_bytes(bytes).map_err(|e| e.to_string())?;
    Ok(m.answers.len() + m.authorities.len() + m.additionals.len() + usize::from(m.edns.is_some()))
}

/// A difference from `domain` that the tables do not explain.
pub fn unexplained(bytes: &[u8]) -> Option<String> {
    match (ours(bytes), theirs(bytes)) {
        (Ok(a), Ok(b)) if a == b => None,
        (Ok(a), Ok(b)) => {
            let (x, y) = a.iter().zip(&b).find(|(x, y)| x != y)?;
            Some(format!("we hold {x:?}, domain {y:?}"))
        }
        (Err(_), Err(_)) => None,
        (Err(f), Ok(_)) if STRICT.iter().any(|(what, _)| *what == f.what) => None,
        (Err(_), Ok(_)) if kinds(bytes).iter().any(|k| UNREAD.contains(k)) => None,
        (Err(f), Ok(_)) => Some(format!("we refuse ({f}), domain takes it")),
        (Ok(a), Err(_)) if a.iter().any(|r| LOOSE.iter().any(|(kind, _)| kind.0 == r.1)) => None,
        (Ok(_), Err(why)) => Some(format!("we take it, domain refuses: {why}")),
    }
}

/// What we refuse and `hickory-proto` takes.
pub const HICKORY_TAKES: &[(&str, &str)] = &[
    ("compressed name where none may be", "RFC 3597 4: it reads it all the same"),
    ("compression pointer into the header", "RFC 1035 4.1.4: it takes any earlier offset"),
];

/// What `hickory-proto` refuses and we take: a part of its words, and why we are right to take it.
pub const HICKORY_REFUSES: &[(&str, &str)] = &[
    (
        "incorrect rdata length",
        "data that it reads by its meaning, as of type 0, of HINFO of one text, of NAPTR and SVCB",
    ),
    ("unexpected record with length", "data of no bytes of a type that has no form here"),
];

/// Owner, type, class and TTL of each record.
pub type Heads = Vec<(Vec<u8>, u16, u16, u32)>;

/// What `hickory-proto` holds of the records that are not about the message itself (OPT, TSIG).
///
/// # Errors
/// Its words.
pub fn hickory_heads(bytes: &[u8]) -> Result<Heads, String> {
    let m = HickoryMessage::from_bytes(bytes).map_err(|e| e.to_string())?;
    let all = m.answers.iter().chain(&m.authorities).chain(&m.additionals);
    all.map(|r| {
        let mut owner = Vec::new();
        for label in r.name.iter() {
            owner.push(label.len() as u8);
            owner.extend_from_slice(label);
        }
        owner.push(0);
        Ok((owner, u16::from(r.record_type()), u16::from(r.dns_class), r.ttl))
    })
    .collect()
}

/// A difference from `hickory-proto` that the tables do not explain.
pub fn unexplained_by_hickory(bytes: &[u8]) -> Option<String> {
    let read = |k: &Type| HICKORY_READS.contains(k) || k.name().is_none();
    if !kinds(bytes).iter().all(read) {
        return None; // it does not look into these
    }
    match (ours(bytes), hickory_heads(bytes)) {
        (Ok(a), Ok(b)) => {
            let own = |r: &&(Vec<u8>, u16, u16, u32, Vec<u8>)| ![Type::OPT.0, Type::TSIG.0].contains(&r.1);
            let a: Heads = a.iter().filter(own).map(|r| (r.0.clone(), r.1, r.2, r.3)).collect();
            (a != b).then(|| format!("we hold {a:?}, hickory {b:?}"))
        }
        (Err(_), Err(_)) => None,
        (Err(f), Ok(_)) if HICKORY_TAKES.iter().any(|(what, _)| *what == f.what) => None,
        (Err(f), Ok(_)) => Some(format!("we refuse ({f}), hickory takes it")),
        (Ok(_), Err(why)) if HICKORY_REFUSES.iter().any(|(words, _)| why.contains(words)) => None,
        (Ok(_), Err(why)) => Some(format!("we take it, hickory refuses: {why}")),
    }
}
