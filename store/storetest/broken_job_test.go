package storetest_test

import "github.com/postern-mail/postern/store"

type runsForever struct{ store.Tx }

func (tx *runsForever) RunningJobs(limit int) ([]*store.Job, error) {
	list, err := tx.Jobs(store.DateKey{}, 1000)
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list[:min(limit, len(list))], err
}

type keepsJobs struct{ store.Tx }

func (tx *keepsJobs) DropJobsOf(string, int) (more bool, err error) { return false, nil }
