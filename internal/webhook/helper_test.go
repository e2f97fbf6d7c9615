package webhook

import (
	"io"
	"log"
)

// quiet is a log for receivers that are expected to complain.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
