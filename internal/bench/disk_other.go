//go:build !linux

package main

import (
	"errors"
	"time"
)

var errElsewhere = errors.New("the bench knows disks and processes of Linux alone")

func (b *bench) fsyncs(int) (time.Duration, error) { return 0, errElsewhere }

func inMemory(string) (bool, error) { return false, errElsewhere }

func processor() time.Duration { return 0 }

func load() string { return "unknown" }
