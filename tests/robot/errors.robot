*** Settings ***
Documentation       What the device refuses, with which name and numbers, and that it serves on.
...
...                 The numbers of an error are explained beside it in firmware/nn/pt_error.h.
Resource            common.resource
Suite Setup         Connect Device    ${TARGET}
Suite Teardown      Disconnect Device
# Renode's wrapper fills what is empty here with keywords of its own.
Test Setup          No Operation
Test Teardown       Device Should Serve


*** Test Cases ***
An Unknown Command
    Command Should Be Refused    255    error=PT_ERR_COMMAND    numbers=255

A Batch Without A Model
    Run Command    RESET
    Command Should Be Refused    TRAIN    1    error=PT_ERR_STATE    numbers=0 2

A Method That Does Not Exist
    Load Random Network    oddnet
    Command Should Be Refused    SET_METHOD    99    error=PT_ERR_ARGUMENT    numbers=0 99 0 6

A Label That Is No Class
    Load Random Network    oddnet
    Set Method    niti-static
    Write Batch    3    7
    Command Should Be Refused    TRAIN    2    error=PT_ERR_LABEL    numbers=1 7 7

A Batch That Does Not Fit
    Load Random Network    oddnet
    Set Method    niti-static
    Command Should Be Refused    EVALUATE    100000    error=PT_ERR_BATCH    numbers=100000 *

A Damaged Model
    Run Command    RESET
    ${size} =    Write Broken Model    oddnet
    Command Should Be Refused    LOAD_MODEL    ${size}    error=PT_ERR_BLOB_CRC    numbers=* *
