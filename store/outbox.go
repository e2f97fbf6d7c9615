package store

import "time"

// Endpoint is a URL that receives webhooks. Config is the endpoint's own
// business (internal/webhook); the outbox needs only what stands here.
type Endpoint struct {
	ID string
	// Config holds address, filters and keys, encoded by their owner.
	Config []byte
	// Ordered: deliveries of one account arrive in order of its sequence.
	Ordered bool
	// Disabled endpoints get no attempts; what they are owed waits.
	Disabled bool
	// Reason says why it is disabled.
	Reason string
	// PausedUntil holds back every lane of the endpoint (Retry-After).
	PausedUntil time.Time
	// Failing is since when no attempt has succeeded, zero while all is well;
	// Failures counts the attempts since.
	Failing  time.Time
	Failures int
	// Told says how far towards being disabled was told since it fails: 0
	// nothing, 1 that it fails, then percents. ToldDead is how many dead
	// letters were told of.
	Told      int
	ToldDead  int64
	LastOKAt  time.Time
	CreatedAt time.Time
	// Edition counts what its owner has changed: what was found out about an
	// earlier one says nothing of this.
	Edition int64
}

// DeliveryState is where a delivery stands.
type DeliveryState string

// States of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryDead      DeliveryState = "dead"
)

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	// ID names one event on its way to one endpoint in one rendition. Ids that
	// sort by Position are cheapest to keep.
	ID       string
	Endpoint string
	// Lane keeps what must stay in order together: the account's id, or the
	// delivery's own id where the endpoint is unordered.
	Lane    string
	Account string
	// Event, Type, Position and Sequence are the event's.
	Event    string
	Type     string
	Position uint64
	Sequence uint64
	// Previous is the sequence of the lane's delivery before this one, 0 for
	// the first, and for one that is owed after others with a greater sequence.
	Previous uint64
	// Rendition names the body: several endpoints may share one.
	Rendition string
	State     DeliveryState
	CreatedAt time.Time
	// NextAt is when a pending delivery is due; the lane's head counts.
	NextAt      time.Time
	Attempts    int
	FirstFailAt time.Time
	// LastStatus is the last HTTP status, 0 where none came; LastError says
	// what happened, in words.
	LastStatus int
	LastError  string
	DoneAt     time.Time
	// Replays counts redeliveries by an operator, RequeuedAt is when the last
	// was asked for: its time to be delivered begins anew.
	Replays    int
	RequeuedAt time.Time
	// Replay is the job that put it back last, "" where none did.
	Replay string
	// Trace is the W3C traceparent of what led to the event, where it is traced.
	Trace string
}

// Attempt is one try of a delivery.
type Attempt struct {
	Delivery string
	Number   int
	At       time.Time
	Duration time.Duration
	Status   int
	// Class is the kind of outcome (outbox.Class).
	Class string
	Error string
	// Answer is the first kilobytes of the receiver's answer, Header some of
	// its header's lines, "name: value".
	Answer []byte
	Header []string
	// Peer is the address that was connected to.
	Peer string
	// DNS, Connect, TLS and FirstByte are parts of Duration; they are 0 where a
	// connection was used again.
	DNS, Connect, TLS, FirstByte time.Duration
	// Keys are the ids of the keys that signed.
	Keys []string
}

// Lane is a queue of one account to one endpoint, named by its due head.
type Lane struct {
	Endpoint string
	Lane     string
	Due      time.Time
}

// DeliveryFilter restricts a listing. Empty fields do not.
type DeliveryFilter struct {
	Endpoint string
	Account  string
	State    DeliveryState
	Type     string
	Since    time.Time
	Until    time.Time
}

// Outbox is the noun of what is owed to endpoints. Only lane heads stand in
// the index of due times, so that an outage costs by lane and not by event.
type Outbox interface {
	Endpoint(id string) (*Endpoint, error)
	Endpoints() ([]*Endpoint, error)
	PutEndpoint(e *Endpoint) error
	// DeleteEndpoint removes it; DropDeliveries removes what it was owed.
	DeleteEndpoint(id string) error
	DropDeliveries(endpoint string, limit int) (more bool, err error)
	// DropDeliveriesOf removes what is owed of an account's mail, to whomever.
	DropDeliveriesOf(account string, limit int) (more bool, err error)

	// PutBody stores the body of a delivery's event in its rendition, sealed
	// under the store's key, and Body reads it: once, whatever number of
	// deliveries have the same Position, Event and Rendition. A body that is
	// there stays as it is. It goes with the last delivery of it.
	PutBody(d *Delivery, body []byte) error
	Body(d *Delivery) ([]byte, error)

	// Enqueue appends a pending delivery to its lane and sets its Previous.
	// One already there changes nothing. The endpoint must exist.
	Enqueue(d *Delivery) error
	Delivery(id string) (*Delivery, error)
	// DueLanes lists lanes whose head is due at or before t, earliest first.
	// Those of disabled endpoints never are, those of paused ones not before
	// PausedUntil.
	DueLanes(t time.Time, limit int) ([]Lane, error)
	// LanesAfter lists all lanes by Due, then Endpoint and Lane, whether due or
	// not, in pages: those that come after the given one. The zero Lane starts.
	// Due is the head's NextAt, whatever holds its endpoint back.
	LanesAfter(after Lane, limit int) ([]Lane, error)
	// NextDue is the earliest time at which DueLanes will list a lane, zero
	// where none waits.
	NextDue() (time.Time, error)
	// Head gives a lane's first pending deliveries, in order.
	Head(endpoint, lane string, limit int) ([]*Delivery, error)
	// Reschedule writes a pending delivery back with its new NextAt, attempts
	// and last error. One that is not in its lane any more is ErrNotFound.
	Reschedule(d *Delivery) error
	// Settle takes a delivery out of its lane as delivered or dead. The next
	// one becomes the head, due at its own NextAt. One that is not in its lane
	// any more is ErrNotFound.
	Settle(d *Delivery) error
	// Conclude is Settle, or Reschedule where d is pending, together with the
	// attempt that led to it.
	Conclude(d *Delivery, a *Attempt) error
	// Detach takes a pending delivery out of its lane into one of its own,
	// named by its id, with the NextAt that it is given. The others go on
	// without it.
	Detach(d *Delivery) error
	// Requeue puts a dead or delivered delivery back at the end of its lane,
	// with the NextAt, Attempts and Replays that it is given.
	Requeue(d *Delivery) error
	// PauseEndpoint raises the endpoint's PausedUntil to t, where it is
	// earlier, without touching lanes or deliveries.
	PauseEndpoint(endpoint string, t time.Time) error

	// Deliveries lists by CreatedAt, newest first. Since is included, Until is
	// not.
	Deliveries(f DeliveryFilter, after DateKey, limit int) ([]*Delivery, error)
	// PutAttempt logs a try of a delivery that exists; AttemptsOf lists them by
	// time and number.
	PutAttempt(a *Attempt) error
	AttemptsOf(delivery string) ([]Attempt, error)
	// OutboxStats counts what waits and since when, EndpointStats what waits
	// for one endpoint.
	OutboxStats() (OutboxStats, error)
	EndpointStats(endpoint string) (OutboxStats, error)
	// TrimOutbox drops settled deliveries, their attempts and bodies nobody
	// is owed any more: those delivered, and those dead, before the given times.
	// It looks at about limit deliveries and reports whether it should be
	// called again.
	TrimOutbox(delivered, dead time.Time, limit int) (dropped int, more bool, err error)
}

// OutboxStats is the state of the outbox in numbers.
type OutboxStats struct {
	Pending int64
	Dead    int64
	// Oldest is when the oldest pending delivery was created.
	Oldest time.Time
}
