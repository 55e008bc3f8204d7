//go:build !linux

package spool

const openNonblock = 0

func lockHeld(string) ownership { return ownerUnknown }

func ownedByAnother(string) error { return nil }
