package store

import "time"

// JobState is where a job stands.
type JobState string

// States of a job.
const (
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobCancelled JobState = "cancelled"
	JobFailed    JobState = "failed"
)

// JobSource is what a replay reads.
type JobSource string

// Sources of a replay.
const (
	// JobDeliveries: what was owed to endpoints, as its deliveries are kept.
	JobDeliveries JobSource = "deliveries"
	// JobJournal: the events of the journal that an endpoint wants.
	JobJournal JobSource = "journal"
)

// Job is a replay on its way: which deliveries are made again, and how far it
// has come. What it has done and where it stands are written together, so that
// a crash repeats and skips nothing.
type Job struct {
	ID     string
	State  JobState
	Source JobSource
	// Endpoint, Account, Type, Since and Until restrict what is replayed; empty
	// ones do not. Until is never empty: what comes later is not the job's.
	Endpoint string
	Account  string
	Type     string
	Since    time.Time
	Until    time.Time
	// States are those of the deliveries that are made again.
	States []DeliveryState
	// To is the endpoint that gets them, empty for their own.
	To string
	// PerSecond bounds how many are put back in a second, 0 does not.
	PerSecond int
	CreatedAt time.Time
	DoneAt    time.Time
	// Counted: Matched is known.
	Counted bool
	Matched int64
	Done    int64
	Skipped int64
	// Reason says why it failed.
	Reason string
	// Last is the place of the last one that is behind it: the event's
	// Position; after that LastAt, the delivery's CreatedAt, and LastID, its id,
	// where deliveries are read.
	Last   uint64
	LastAt time.Time
	LastID string
	// End is the last Position that is the job's, where the journal is read.
	End uint64
}

// Jobs is the noun of replays.
type Jobs interface {
	Job(id string) (*Job, error)
	PutJob(j *Job) error
	// DeleteJob of what is not there is no error.
	DeleteJob(id string) error
	// Jobs lists by CreatedAt, newest first.
	Jobs(after DateKey, limit int) ([]*Job, error)
	// RunningJobs lists those that are running, oldest first.
	RunningJobs(limit int) ([]*Job, error)
	// TrimJobs drops those that were done before t.
	TrimJobs(t time.Time, limit int) (dropped int, err error)
	// DropJobsOf removes the jobs that name an account, running ones too.
	DropJobsOf(account string, limit int) (more bool, err error)
}
