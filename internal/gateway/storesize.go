package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/store/bolt"
)

// measureSizes shows what the store takes of the disk.
func measureSizes(r prometheus.Registerer, stats func() (bolt.Stats, error)) {
	gauge := func(name, help string, of func(bolt.Stats) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			s, err := stats()
			if err != nil {
				return 0
			}
			return of(s)
		}))
	}
	gauge("postern_store_bytes", "Size of the database's file.", func(s bolt.Stats) float64 { return float64(s.FileSize) })
	gauge("postern_store_free_pages", "Pages of it that are free to be used again.", func(s bolt.Stats) float64 { return float64(s.FreePages) })
	gauge("postern_blob_bytes", "Bytes of messages and attachments at rest.", func(s bolt.Stats) float64 { return float64(s.BlobBytes) })
}
