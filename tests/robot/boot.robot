*** Settings ***
Documentation       From reset to a device that answers: its mailbox, INFO, and where the memory goes.
Resource            common.resource
Suite Setup         Connect Device    ${TARGET}
Suite Teardown      Disconnect Device
# Renode's wrapper fills what is empty here with keywords of its own.
Test Setup          No Operation
Test Teardown       No Operation


*** Test Cases ***
The Mailbox Is There After Reset
    [Documentation]    Start-up code has run, and nothing was asked of the device yet.
    ${idle} =    Constant    pt_status    PT_STATUS_IDLE
    Restart Device
    ${mailbox} =    Read Mailbox
    Should Be Equal As Integers    ${mailbox}[magic]    0x424d5450
    Should Be Equal As Integers    ${mailbox}[version]    5
    Should Be Equal As Integers    ${mailbox}[command]    0
    Should Be Equal As Integers    ${mailbox}[status]    ${idle}

Reset And Clock Are Told
    [Documentation]    Over the serial link: why the device started, its clock, and how long the start took. A process has no clock.
    ${reason} =    Restart Device
    ${hello} =    Read Hello
    Should Be Equal    ${hello}[reset]    ${reason}
    ${clock}    ${start} =    Set Variable    ${hello}[clock_hz]    ${hello}[boot_cycles]
    Should Be True    ${clock} == ${start} == 0 or 0 < ${start} < ${clock}

INFO Is Served
    ${done} =    Constant    pt_status    PT_STATUS_DONE
    ${mailbox} =    Run Command    INFO
    Should Be Equal As Integers    ${mailbox}[status]    ${done}
    Should Be Equal As Integers    ${mailbox}[command]    0
    Should Be True    ${mailbox}[memory][arena] > 200_000

The Memory Adds Up
    [Documentation]    Code, static data, arena and stack are the chip's 264 KiB, without a byte twice.
    Memory Should Fill The Chip

A Model Takes What Was Planned
    [Documentation]    Device and golden plan the memory of a training step each for itself.
    Load Backbone    tinycnn    digits
    Set Method    priot    mu=4    theta=-16
    Memory Of The Model Should Equal Golden
