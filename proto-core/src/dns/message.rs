//! Messages, read in place.
use super::{Class, Edns, Fields, Flags, HEADER, Name, Rcode, Type, fault};
use crate::Fault;
use core::net::IpAddr;

const RULE: &str = "RFC 1035 4.1";

/// A message whose header was read. Everything else is read when it is asked for, and borrows the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Message<'m> {
    bytes: &'m [u8],
}

/// The fixed part of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What ties a reply to its question.
    pub id: u16,
    /// Flags and codes.
    pub flags: Flags,
    /// How many questions and records of each section it says there are.
    pub counts: [u16; 4],
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Question<'m> {
    /// About which name.
    pub name: Name<'m>,
    /// What about it.
    pub kind: Type,
    /// In which class.
    pub class: Class,
}

/// Where a record stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who knows it, or why there is none.
    Authority,
    /// What else may be of use.
    Additional,
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'m> {
    /// Whose it is.
    pub name: Name<'m>,
    /// Of which type.
    pub kind: Type,
    /// Of which class; of OPT records, the size of datagrams.
    pub class: Class,
    /// How long it may be kept, in seconds, as it stands in the message.
    pub ttl: u32,
    /// Where it stands.
    pub section: Section,
    message: &'m [u8],
    data: (u32, u32),
}

impl<'m> Message<'m> {
    /// Reads the header.
    ///
    /// # Errors
    /// Fewer than 12 bytes.
    pub fn parse(bytes: &'m [u8]) -> Result<Self, Fault> {
        let bytes = bytes.get(..bytes.len().min(super::MESSAGE_MAX)).unwrap_or_default();
        if bytes.len() < HEADER {
            Err(fault("message shorter than its header", RULE, bytes.len()))
        } else {
            Ok(Message { bytes })
        }
    }
    /// All its bytes.
    pub fn bytes(&self) -> &'m [u8] {
        self.bytes
    }
    /// The header.
    #[inline]
    pub fn header(&self) -> Header {
        let word = |i: usize| be16(self.bytes, i).unwrap_or_default();
        Header { id: word(0), flags: Flags(word(2)), counts: [word(4), word(6), word(8), word(10)] }
    }
    /// The first question; `None` if there is none.
    ///
    /// # Errors
    /// It is malformed.
    pub fn question(&self) -> Result<Option<Question<'m>>, Fault> {
        self.questions().next().transpose()
    }
    /// All questions. Ends after the first error.
    pub fn questions(&self) -> impl Iterator<Item = Result<Question<'m>, Fault>> + 'm {
        let (bytes, mut left, mut at) = (self.bytes, self.header().counts[0], HEADER);
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let read = question(bytes, at);
            match &read {
                Ok((_, end)) => at = *end,
                Err(_) => left = 0,
            }
            Some(read.map(|(q, _)| q))
        })
    }
    /// All records of all sections. Ends after the first error.
    ///
    /// # Errors
    /// A question before them is malformed.
    pub fn records(&self) -> Result<Records<'m>, Fault> {
        let Header { counts, .. } = self.header();
        let mut at = HEADER;
        for _ in 0..counts[0] {
            at = question(self.bytes, at)?.1;
        }
        Ok(Records { bytes: self.bytes, at, left: [counts[1], counts[2], counts[3]] })
    }
    /// Reads everything: names, counts, and the data of every record of a known type. Answers how many bytes the message
    /// has; what follows them is garbage.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn check(&self) -> Result<usize, Fault> {
        let mut records = self.records()?;
        let mut opts = 0;
        for record in records.by_ref() {
            let record = record?;
            for field in record.fields() {
                field?;
            }
            opts += usize::from(record.kind == Type::OPT);
            if opts > 1 {
                return Err(fault("two OPT records", "RFC 6891 6.1.1", record.name.offset()));
            }
        }
        Ok(records.at)
    }
    /// What EDNS says, if there is an OPT record in the additional section, where it belongs (RFC 6891 6.1.1).
    pub fn edns(&self) -> Option<Edns<'m>> {
        if self.header().counts[3] == 0 {
            return None;
        }
        self.records().ok()?.flatten().filter(|r| r.section == Section::Additional).find_map(|r| Edns::of(&r))
    }
    /// The response code, with the upper bits from EDNS.
    pub fn rcode(&self) -> Rcode {
        let low = self.header().flags.rcode().0;
        Rcode(low | self.edns().map_or(0, |e| u16::from(e.rcode_high) << 4))
    }
}

fn question(bytes: &[u8], at: usize) -> Result<(Question<'_>, usize), Fault> {
    let (name, end) = Name::read(bytes, at)?;
    let Some(&[a, b, c, d]) = bytes.get(end..).and_then(|b| b.first_chunk()) else {
        return Err(fault("question past the end", RULE, end));
    };
    let (kind, class) = (Type(u16::from_be_bytes([a, b])), Class(u16::from_be_bytes([c, d])));
    Ok((Question { name, kind, class }, end + 4))
}

/// The records of a message.
#[derive(Clone, Debug)]
pub struct Records<'m> {
    bytes: &'m [u8],
    at: usize,
    left: [u16; 3],
}

impl<'m> Records<'m> {
    /// The offset of the next record; after the last one, the message's length.
    pub fn offset(&self) -> usize {
        self.at
    }
    #[inline]
    fn read(&self, section: Section) -> Result<(Record<'m>, usize), Fault> {
        let (name, at) = Name::read(self.bytes, self.at)?;
        let Some(&[k1, k2, c1, c2, t1, t2, t3, t4, n1, n2]) = self.bytes.get(at..).and_then(|b| b.first_chunk()) else {
            return Err(fault("record past the end", RULE, at));
        };
        let (start, end) = (at + 10, at + 10 + usize::from(u16::from_be_bytes([n1, n2])));
        if end > self.bytes.len() {
            return Err(fault("data past the end", RULE, at + 8));
        }
        let record = Record {
            name,
            kind: Type(u16::from_be_bytes([k1, k2])),
            class: Class(u16::from_be_bytes([c1, c2])),
            ttl: u32::from_be_bytes([t1, t2, t3, t4]),
            section,
            message: self.bytes,
            data: (start as u32, end as u32),
        };
        Ok((record, end))
    }
}

impl<'m> Iterator for Records<'m> {
    type Item = Result<Record<'m>, Fault>;
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (section, left) = match &mut self.left {
            [left @ (1..), _, _] => (Section::Answer, left),
            [_, left @ (1..), _] => (Section::Authority, left),
            [_, _, left @ (1..)] => (Section::Additional, left),
            _ => return None,
        };
        *left -= 1;
        match self.read(section) {
            Ok((record, end)) => {
                self.at = end;
                Some(Ok(record))
            }
            Err(fault) => {
                self.left = [0; 3];
                Some(Err(fault))
            }
        }
    }
}

impl<'m> Record<'m> {
    /// The fields of its data. An iterator's last item may be an error.
    #[inline]
    pub fn fields(&self) -> Fields<'m> {
        let (start, end) = self.span();
        Fields::new(self.message, start, end, self.kind.layout())
    }
    /// Where its data begins and ends.
    pub fn span(&self) -> (usize, usize) {
        (self.data.0 as usize, self.data.1 as usize)
    }
    /// Its data as it stands: names in it may be compressed.
    pub fn data(&self) -> &'m [u8] {
        let (start, end) = self.span();
        self.message.get(start..end).unwrap_or_default()
    }
    /// The address of an A or AAAA record.
    pub fn ip(&self) -> Option<IpAddr> {
        match (self.kind, self.data()) {
            (Type::A, data) => data.first_chunk::<4>().filter(|_| data.len() == 4).map(|b| IpAddr::from(*b)),
            (Type::AAAA, data) => data.first_chunk::<16>().filter(|_| data.len() == 16).map(|b| IpAddr::from(*b)),
            _ => None,
        }
    }
    /// The name in its data, of types that have one, such as CNAME, NS, PTR, MX and SRV; of SOA the first.
    pub fn target(&self) -> Option<Name<'m>> {
        self.fields().flatten().find_map(|v| v.name())
    }
    /// The last number of a SOA record: how long "there is none" may be kept, in seconds (RFC 2308 4).
    pub fn soa_minimum(&self) -> Option<u32> {
        let data = self.data();
        let tail = data.len().checked_sub(4).and_then(|at| data.get(at..)?.first_chunk());
        tail.filter(|_| self.kind == Type::SOA && self.fields().all(|f| f.is_ok())).map(|b| u32::from_be_bytes(*b))
    }
}

/// Two bytes at `at`.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}
