package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store/bolt"
)

// OpenStore opens the store of a configuration's data folder for a command of
// this version. A command makes none: a folder without a store is a mistake,
// and is left as it is.
func OpenStore(ctx context.Context, cfg *config.Config, lookupEnv func(string) (string, bool), log *slog.Logger, version string) (*bolt.Store, error) {
	keys, err := Keyring(ctx, cfg, lookupEnv)
	if err != nil {
		return nil, err
	}
	if !bolt.Exists(cfg.DataDir) {
		return nil, fmt.Errorf("no store in %s; is data_dir right?", cfg.DataDir)
	}
	return openStore(cfg, keys, log, bolt.Observer{}, version)
}

func openStore(cfg *config.Config, keys *seal.Keyring, log *slog.Logger, observe bolt.Observer, version string) (*bolt.Store, error) {
	return bolt.Open(bolt.Options{Path: cfg.DataDir, Keyring: keys, Log: log, Observe: observe, Version: version})
}

// newStoreMetrics measures the store's commits.
func newStoreMetrics(r prometheus.Registerer) bolt.Observer {
	took := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "postern_store_commit_seconds", Help: "How long a commit takes, from its first member's start to the disk's answer.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12)})
	size := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "postern_store_commit_batch_size", Help: "How many updates share a commit.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 10)})
	failed := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "postern_store_commit_failures_total", Help: "Commits that failed."})
	reruns := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "postern_store_reruns_total", Help: "Updates that ran again because another one of their group failed."})
	r.MustRegister(took, size, failed, reruns)
	return bolt.Observer{
		Commit: func(d time.Duration, members int, err error) {
			took.Observe(d.Seconds())
			size.Observe(float64(members))
			if err != nil {
				failed.Inc()
			}
		},
		Rerun: func(members int) { reruns.Add(float64(members)) },
	}
}
