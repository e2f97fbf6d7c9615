package table

import (
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// Jobs are sealed under the store's own key, since they outlive the accounts
// that they name. Each stands among the running or the done ones.

// Job reads a job.
func (tx *Tx) Job(id string) (*store.Job, error) {
	k := key(nil).last(id)
	b, _, err := tx.getSealed(bJob, k)
	if err != nil {
		return nil, err
	}
	return record.DecodeJob(id, b)
}

// jobRows are the rows of a job's indexes.
func jobRows(j *store.Job) map[Bucket]key {
	rows := map[Bucket]key{bJobAt: key(nil).grow().back(j.CreatedAt).last(j.ID)}
	if j.State == store.JobRunning {
		rows[bJobRunning] = key(nil).at(j.CreatedAt).last(j.ID)
	} else {
		rows[bJobDone] = key(nil).at(j.DoneAt).last(j.ID)
	}
	if j.Account != "" {
		rows[bJobOf] = key(nil).str(j.Account).last(j.ID)
	}
	return rows
}

// PutJob writes a job and its indexes.
func (tx *Tx) PutJob(j *store.Job) error {
	if err := checkID("job", j.ID); err != nil {
		return err
	}
	rows := jobRows(j)
	old, err := tx.Job(j.ID)
	gone, err := missing(err)
	if err != nil {
		return err
	}
	if !gone {
		for b, k := range jobRows(old) {
			if string(rows[b]) == string(k) {
				delete(rows, b) // it stands there already
			} else if err := tx.del(b, k); err != nil {
				return err
			}
		}
	}
	for b, k := range rows {
		if err := tx.put(b, k, nil); err != nil {
			return err
		}
	}
	rec, err := record.EncodeJob(j)
	return tx.putSealed(bJob, key(nil).last(j.ID), 0, rec, err)
}

// DeleteJob removes a job.
func (tx *Tx) DeleteJob(id string) error {
	j, err := tx.Job(id)
	if gone, err := missing(err); gone || err != nil {
		return err
	}
	for b, k := range jobRows(j) {
		if err := tx.del(b, k); err != nil {
			return err
		}
	}
	return tx.del(bJob, key(nil).last(id))
}

// Jobs lists jobs, newest first.
func (tx *Tx) Jobs(after store.DateKey, limit int) ([]*store.Job, error) {
	var from []byte
	if after.ID != "" {
		from = next(key(nil).grow().back(after.At).last(after.ID))
	}
	return tx.jobs(bJobAt, from, nil, limit)
}

// RunningJobs lists running jobs, oldest first.
func (tx *Tx) RunningJobs(limit int) ([]*store.Job, error) {
	return tx.jobs(bJobRunning, nil, nil, limit)
}

// jobs reads the jobs of an index by time.
func (tx *Tx) jobs(b Bucket, from, to []byte, limit int) ([]*store.Job, error) {
	pairs, err := tx.scan(b, from, to, false, limit)
	if err != nil {
		return nil, err
	}
	var out []*store.Job
	for _, p := range pairs {
		j, err := tx.Job(string(p.Key[timeSize:]))
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, nil
}

// TrimJobs drops jobs that were done before t.
func (tx *Tx) TrimJobs(t time.Time, limit int) (dropped int, err error) {
	list, err := tx.jobs(bJobDone, nil, key(nil).at(t), limit)
	if err != nil {
		return 0, err
	}
	for _, j := range list {
		if err := tx.DeleteJob(j.ID); err != nil {
			return dropped, err
		}
		dropped++
	}
	return dropped, nil
}

// DropJobsOf removes the jobs that name an account.
func (tx *Tx) DropJobsOf(account string, limit int) (more bool, err error) {
	prefix := key(nil).str(account)
	pairs, err := tx.prefix(bJobOf, prefix, limit)
	if err != nil {
		return false, err
	}
	for _, p := range pairs {
		if err := tx.DeleteJob(string(p.Key[len(prefix):])); err != nil {
			return false, err
		}
	}
	return len(pairs) == limit, nil
}
