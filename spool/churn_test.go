//go:build unix

package spool_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/heka-insights/heka-insights-agent/spool"
)

// churn is the process that is killed: it appends, acks, loses and syncs at
// random, and says so on stdout before and after.
func churn(args string) {
	var mode spool.Fsync
	var name, dir string
	var maxBytes int64
	var seq, seed uint64
	if _, err := fmt.Sscan(args, &name, &maxBytes, &seq, &seed, &dir); err != nil {
		panic(err)
	}
	if err := mode.UnmarshalText([]byte(name)); err != nil {
		panic(err)
	}
	c := &churner{rng: rand.New(rand.NewPCG(seed, seed)), seq: seq}
	c.say("open", 0)
	c.s = spool.Open(spool.Config{Dir: dir, MaxBytes: maxBytes, Fsync: mode})
	go func() { _ = c.s.Run(background) }()
	for {
		if err := c.step(); err != nil {
			panic(err)
		}
	}
}

type churner struct {
	s    *spool.Spool
	rng  *rand.Rand
	seq  uint64
	mine []uint64 // appended by this process, not acked
}

func (c *churner) step() error {
	switch n := c.rng.IntN(32); {
	case n < 16:
		c.say("append", c.seq)
		if err := c.s.Append(killRecord(c.seq)); err != nil {
			return err
		}
		c.say("appended", c.seq)
		c.mine = append(c.mine, c.seq)
		c.seq++
	case n < 21 && len(c.mine) > 0:
		i := c.rng.IntN(len(c.mine))
		c.ack(c.mine[i])
		c.mine[i] = c.mine[len(c.mine)-1]
		c.mine = c.mine[:len(c.mine)-1]
	case n < 24 && len(c.mine) > 0:
		return c.part(c.mine[c.rng.IntN(len(c.mine))])
	case n < 29:
		r, err := c.s.Oldest()
		if errors.Is(err, spool.ErrEmpty) {
			return nil
		}
		if err := errors.Join(err, checkKillRecord(r)); err != nil {
			return err
		}
		if n > 27 {
			return c.bury(r)
		}
		c.ack(r.Seq)
	case n < 31:
		points := 1 + c.rng.Int64N(1000)
		c.say("lose", uint64(points))
		c.s.Lose("queue_full", points)
		c.say("lost", uint64(points))
	default:
		c.say("sync", 0)
		if err := c.s.Sync(background); err != nil {
			return err
		}
		c.say("synced", 0)
	}
	return nil
}

func (c *churner) ack(seq uint64) {
	c.say("ack", seq)
	if c.s.Ack(record(seq, 0).ID) {
		c.say("acked", seq)
	} else {
		c.say("gone", seq)
	}
}

func (c *churner) bury(r spool.Record) error {
	c.say("bury", r.Seq)
	if err := c.s.SetAside(r.ID, "killed"); err != nil {
		return err
	}
	c.say("dead", r.Seq)
	return nil
}

// part delivers a part of a record, or sets it aside, and says so.
func (c *churner) part(seq uint64) error {
	p := partSaid{seq, spool.Mark{Part: 2 + uint16(c.rng.IntN(6)), Fate: spool.PartDelivered}}
	id := record(seq, 0).ID
	var there bool
	if c.rng.IntN(6) > 0 {
		c.say("mark", p.line())
		there = c.s.Mark(id, p.Mark)
	} else {
		c.say("maim", p.line())
		there = c.s.Mark(id, spool.Mark{}) // says nothing, but whether it waits
		if err := c.s.SetAsidePart(id, spool.Piece{Part: p.Part, Payload: make([]byte, 100)}, "killed"); err != nil {
			return err
		}
	}
	if there {
		c.say("marked", p.line())
	} else {
		c.say("gone", 0)
	}
	return nil
}

// say writes a line at once: what is in the pipe outlives the process.
func (*churner) say(what string, n uint64) {
	_, _ = io.WriteString(os.Stdout, fmt.Sprintf("%s %d\n", what, n))
}
