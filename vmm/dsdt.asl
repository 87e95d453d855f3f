/*
 * The machine's differentiated system description: the sleep state that
 * powers off, the PCI root with its windows and interrupt routing, and the
 * ISA devices with their resources.  Compiled by iasl at build time and
 * embedded by vmm/acpi.c.
 *
 * It must agree with io/pc.h (ports) and with pci_slot_gsi in
 * vmm/firmware.h (routing); tests/unit/test_boot_firmware.c compares them.
 */
DefinitionBlock ("", "DSDT", 1, "RINGER", "RINGERPC", 1)
{
    /* SLP_TYPa, SLP_TYPb for PM1_CNT; PC_ACPI_S5_TYP. */
    Name (\_S5, Package () { 5, 5, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_BBN, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0, 0xFF, 0, 0x100)
                IO (Decode16, 0xCF8, 0xCF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0000, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
                    NonCacheable, ReadWrite,
                    0, 0xC0000000, 0xFEBFFFFF, 0, 0x3EC00000)
            })
            /* Slot, pin, no link device, GSI = 10 + (slot + pin) % 2. */
            Name (_PRT, Package ()
            {
                Package () { 0x0001FFFF, 0, 0, 11 }, Package () { 0x0001FFFF, 1, 0, 10 },
                Package () { 0x0001FFFF, 2, 0, 11 }, Package () { 0x0001FFFF, 3, 0, 10 },
                Package () { 0x0002FFFF, 0, 0, 10 }, Package () { 0x0002FFFF, 1, 0, 11 },
                Package () { 0x0002FFFF, 2, 0, 10 }, Package () { 0x0002FFFF, 3, 0, 11 },
                Package () { 0x0003FFFF, 0, 0, 11 }, Package () { 0x0003FFFF, 1, 0, 10 },
                Package () { 0x0003FFFF, 2, 0, 11 }, Package () { 0x0003FFFF, 3, 0, 10 },
                Package () { 0x0004FFFF, 0, 0, 10 }, Package () { 0x0004FFFF, 1, 0, 11 },
                Package () { 0x0004FFFF, 2, 0, 10 }, Package () { 0x0004FFFF, 3, 0, 11 },
                Package () { 0x0005FFFF, 0, 0, 11 }, Package () { 0x0005FFFF, 1, 0, 10 },
                Package () { 0x0005FFFF, 2, 0, 11 }, Package () { 0x0005FFFF, 3, 0, 10 },
                Package () { 0x0006FFFF, 0, 0, 10 }, Package () { 0x0006FFFF, 1, 0, 11 },
                Package () { 0x0006FFFF, 2, 0, 10 }, Package () { 0x0006FFFF, 3, 0, 11 },
                Package () { 0x0007FFFF, 0, 0, 11 }, Package () { 0x0007FFFF, 1, 0, 10 },
                Package () { 0x0007FFFF, 2, 0, 11 }, Package () { 0x0007FFFF, 3, 0, 10 },
                Package () { 0x0008FFFF, 0, 0, 10 }, Package () { 0x0008FFFF, 1, 0, 11 },
                Package () { 0x0008FFFF, 2, 0, 10 }, Package () { 0x0008FFFF, 3, 0, 11 },
                Package () { 0x0009FFFF, 0, 0, 11 }, Package () { 0x0009FFFF, 1, 0, 10 },
                Package () { 0x0009FFFF, 2, 0, 11 }, Package () { 0x0009FFFF, 3, 0, 10 },
                Package () { 0x000AFFFF, 0, 0, 10 }, Package () { 0x000AFFFF, 1, 0, 11 },
                Package () { 0x000AFFFF, 2, 0, 10 }, Package () { 0x000AFFFF, 3, 0, 11 },
                Package () { 0x000BFFFF, 0, 0, 11 }, Package () { 0x000BFFFF, 1, 0, 10 },
                Package () { 0x000BFFFF, 2, 0, 11 }, Package () { 0x000BFFFF, 3, 0, 10 },
                Package () { 0x000CFFFF, 0, 0, 10 }, Package () { 0x000CFFFF, 1, 0, 11 },
                Package () { 0x000CFFFF, 2, 0, 10 }, Package () { 0x000CFFFF, 3, 0, 11 },
                Package () { 0x000DFFFF, 0, 0, 11 }, Package () { 0x000DFFFF, 1, 0, 10 },
                Package () { 0x000DFFFF, 2, 0, 11 }, Package () { 0x000DFFFF, 3, 0, 10 },
                Package () { 0x000EFFFF, 0, 0, 10 }, Package () { 0x000EFFFF, 1, 0, 11 },
                Package () { 0x000EFFFF, 2, 0, 10 }, Package () { 0x000EFFFF, 3, 0, 11 },
                Package () { 0x000FFFFF, 0, 0, 11 }, Package () { 0x000FFFFF, 1, 0, 10 },
                Package () { 0x000FFFFF, 2, 0, 11 }, Package () { 0x000FFFFF, 3, 0, 10 },
                Package () { 0x0010FFFF, 0, 0, 10 }, Package () { 0x0010FFFF, 1, 0, 11 },
                Package () { 0x0010FFFF, 2, 0, 10 }, Package () { 0x0010FFFF, 3, 0, 11 },
                Package () { 0x0011FFFF, 0, 0, 11 }, Package () { 0x0011FFFF, 1, 0, 10 },
                Package () { 0x0011FFFF, 2, 0, 11 }, Package () { 0x0011FFFF, 3, 0, 10 },
                Package () { 0x0012FFFF, 0, 0, 10 }, Package () { 0x0012FFFF, 1, 0, 11 },
                Package () { 0x0012FFFF, 2, 0, 10 }, Package () { 0x0012FFFF, 3, 0, 11 },
                Package () { 0x0013FFFF, 0, 0, 11 }, Package () { 0x0013FFFF, 1, 0, 10 },
                Package () { 0x0013FFFF, 2, 0, 11 }, Package () { 0x0013FFFF, 3, 0, 10 },
                Package () { 0x0014FFFF, 0, 0, 10 }, Package () { 0x0014FFFF, 1, 0, 11 },
                Package () { 0x0014FFFF, 2, 0, 10 }, Package () { 0x0014FFFF, 3, 0, 11 },
                Package () { 0x0015FFFF, 0, 0, 11 }, Package () { 0x0015FFFF, 1, 0, 10 },
                Package () { 0x0015FFFF, 2, 0, 11 }, Package () { 0x0015FFFF, 3, 0, 10 },
                Package () { 0x0016FFFF, 0, 0, 10 }, Package () { 0x0016FFFF, 1, 0, 11 },
                Package () { 0x0016FFFF, 2, 0, 10 }, Package () { 0x0016FFFF, 3, 0, 11 },
                Package () { 0x0017FFFF, 0, 0, 11 }, Package () { 0x0017FFFF, 1, 0, 10 },
                Package () { 0x0017FFFF, 2, 0, 11 }, Package () { 0x0017FFFF, 3, 0, 10 },
                Package () { 0x0018FFFF, 0, 0, 10 }, Package () { 0x0018FFFF, 1, 0, 11 },
                Package () { 0x0018FFFF, 2, 0, 10 }, Package () { 0x0018FFFF, 3, 0, 11 },
                Package () { 0x0019FFFF, 0, 0, 11 }, Package () { 0x0019FFFF, 1, 0, 10 },
                Package () { 0x0019FFFF, 2, 0, 11 }, Package () { 0x0019FFFF, 3, 0, 10 },
                Package () { 0x001AFFFF, 0, 0, 10 }, Package () { 0x001AFFFF, 1, 0, 11 },
                Package () { 0x001AFFFF, 2, 0, 10 }, Package () { 0x001AFFFF, 3, 0, 11 },
                Package () { 0x001BFFFF, 0, 0, 11 }, Package () { 0x001BFFFF, 1, 0, 10 },
                Package () { 0x001BFFFF, 2, 0, 11 }, Package () { 0x001BFFFF, 3, 0, 10 },
                Package () { 0x001CFFFF, 0, 0, 10 }, Package () { 0x001CFFFF, 1, 0, 11 },
                Package () { 0x001CFFFF, 2, 0, 10 }, Package () { 0x001CFFFF, 3, 0, 11 },
                Package () { 0x001DFFFF, 0, 0, 11 }, Package () { 0x001DFFFF, 1, 0, 10 },
                Package () { 0x001DFFFF, 2, 0, 11 }, Package () { 0x001DFFFF, 3, 0, 10 },
                Package () { 0x001EFFFF, 0, 0, 10 }, Package () { 0x001EFFFF, 1, 0, 11 },
                Package () { 0x001EFFFF, 2, 0, 10 }, Package () { 0x001EFFFF, 3, 0, 11 },
                Package () { 0x001FFFFF, 0, 0, 11 }, Package () { 0x001FFFFF, 1, 0, 10 },
                Package () { 0x001FFFFF, 2, 0, 11 }, Package () { 0x001FFFFF, 3, 0, 10 }
            })
        }

        /* Interrupt controllers, timer and DMA: fixed, described so that nothing else is put there. */
        Device (PIC)
        {
            Name (_HID, EisaId ("PNP0000"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x20, 0x20, 1, 2)
                IO (Decode16, 0xA0, 0xA0, 1, 2)
                IO (Decode16, 0x4D0, 0x4D0, 1, 2)
                IRQNoFlags () { 2 }
            })
        }
        Device (DMAC)
        {
            Name (_HID, EisaId ("PNP0200"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x00, 0x00, 1, 0x10)
                IO (Decode16, 0x81, 0x81, 1, 0x0F)
                IO (Decode16, 0xC0, 0xC0, 1, 0x20)
                DMA (Compatibility, NotBusMaster, Transfer8_16) { 4 }
            })
        }
        Device (TIMR)
        {
            Name (_HID, EisaId ("PNP0100"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x40, 0x40, 1, 4)
                IRQNoFlags () { 0 }
            })
        }
        Device (RTC0)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x70, 0x70, 1, 8)
                IRQNoFlags () { 8 }
            })
        }
        Device (FPU0)
        {
            Name (_HID, EisaId ("PNP0C04"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0xF0, 0xF0, 1, 1)
                IRQNoFlags () { 13 }
            })
        }
        Device (KBD0)
        {
            Name (_HID, EisaId ("PNP0303"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x60, 0x60, 1, 1)
                IO (Decode16, 0x64, 0x64, 1, 1)
                IRQNoFlags () { 1 }
            })
        }
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x3F8, 0x3F8, 1, 8)
                IRQNoFlags () { 4 }
            })
        }
        Device (COM2)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 2)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x2F8, 0x2F8, 1, 8)
                IRQNoFlags () { 3 }
            })
        }

        /* The guest tells of its panic: io/pvpanic.c, at PC_PVPANIC_PORT. */
        Device (PEVT)
        {
            Name (_HID, "QEMU0001")
            Name (_UID, 0)
            Name (_STA, 0x0F)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x505, 0x505, 1, 1)
            })
        }

        /* Decoded by the chipset: ACPI registers, I/O APIC, local APIC. */
        Device (MBRS)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x600, 0x600, 1, 0x0C)
                Memory32Fixed (ReadWrite, 0xFEC00000, 0x1000)
                Memory32Fixed (ReadWrite, 0xFEE00000, 0x1000)
            })
        }
    }
}
